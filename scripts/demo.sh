#!/bin/sh
# Makes the demo folder of `make serve`: a few small files to look at, open and change.
set -eu
folder=${1:?usage: demo.sh FOLDER}
mkdir -p "$folder/Documents" "$folder/Pictures"
cat > "$folder/Documents/shopping list.txt" <<'EOF'
bread
olives
two lemons
EOF
printf 'name,colour\napple,red\npear,green\n' > "$folder/Documents/fruit.csv"
printf 'P6 64 64 255\n' > "$folder/Pictures/square.ppm"
head -c 12288 /dev/zero | tr '\0' '\140' >> "$folder/Pictures/square.ppm"
cat > "$folder/README.txt" <<'EOF'
This folder is shared by frevo.

Read it, change it, delete it: it is yours. `make serve` makes it once and leaves it alone afterwards.
EOF
