/* Text. */
#include <stdio.h>

#include "shapes.h"

void describe(const struct shape *shape)
{
    printf("%s: %d\n", shape->name, area(shape));
}
