/* Clients that move: with an IPv4 address in $KERNEL_QUIC_DIR/moved, every peer is there, as after a migration. */

#include "quic.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

int getpeername(int fd, struct sockaddr *address, socklen_t *length)
{
    int result = syscall(SYS_getpeername, fd, address, length);
    const char *directory = getenv("KERNEL_QUIC_DIR");
    char path[512], text[INET_ADDRSTRLEN] = "";
    if (result || !directory || address->sa_family != AF_INET)
        return result;
    snprintf(path, sizeof path, "%s/moved", directory);
    FILE *file = fopen(path, "r");
    if (!file)
        return result;
    if (fgets(text, sizeof text, file))
        inet_pton(AF_INET, text, &((struct sockaddr_in *)address)->sin_addr);
    fclose(file);
    return result;
}
