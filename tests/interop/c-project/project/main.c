/* Describes three shapes. */
#include "shapes.h"

int main(void)
{
    const struct shape shapes[] = {{"square", 3, 3}, {"field", 40, 25}, {"line", 7, 0}};
    int i;

    for (i = 0; i < 3; i++)
        describe(&shapes[i]);
    return 0;
}
