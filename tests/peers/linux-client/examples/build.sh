# Untars a small C project on the share, builds it there with make and tcc, and runs its tests:
#     run.sh --with tcc --with make --file project.tar --file tcc.tar build.sh
# project.tar is tests/interop/c-project; tcc.tar has tcc's own headers and library and the C library's.
dir=$MNT/${1:-linux-client-build}
mkdir -p "$dir" && cd "$dir" || exit 1

tar -C / -xf /job/tcc.tar
check "untar" timed "untar" tar -xf /job/project.tar
check "build" timed "build" make -C project
check "objects are there" [ -s project/shapes.o ]
check "the program runs from the share" project/shapes
check "its tests pass" timed "test" make -C project test
touch -d '2030-01-01' project/shapes.h
makes() { make -C project > /tmp/make.out 2>&1; grep -q "$1" /tmp/make.out; }
check "make sees a newer header" makes shapes.c
touch -d '2001-01-01' project/*.[ch]
check "nothing to do the second time" makes "up to date"
check "clean" make -C project clean
check "objects are gone" [ ! -e project/shapes.o ]
cd / && check "remove" rm -r "$dir"
verdict
