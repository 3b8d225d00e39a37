/* Areas. */
#include "shapes.h"

int area(const struct shape *shape)
{
    return shape->width * shape->height;
}
