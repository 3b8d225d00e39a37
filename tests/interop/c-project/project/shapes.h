/* Areas of shapes, and a line of text about each. */
#ifndef SHAPES_H
#define SHAPES_H

struct shape {
    const char *name;
    int width, height;
};

int area(const struct shape *shape);
void describe(const struct shape *shape);

#endif
