/* What goes over the TCP connection in place of packets: frames until both ends have shown that they have the same
 * secrets, plain data afterwards. How a connection ends is told beside it, in a file. */

#include "quic.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void note(const char *format, ...)
{
    char line[256];
    const char *directory = getenv("KERNEL_QUIC_DIR");
    int length = snprintf(line, sizeof line, "%d ", getpid());
    va_list arguments;
    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof line - 1 - length, format, arguments);
    va_end(arguments);
    length = length < (int)sizeof line - 1 ? length : (int)sizeof line - 2;
    line[length++] = '\n';
    char path[512];
    snprintf(path, sizeof path, "%s/log", directory ? directory : "/nowhere");
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && write(fd, line, length) < 0)
        abort();
    if (fd >= 0)
        raw_close(fd);
}

/* FNV-1a over the secret and the data: shows that two ends have the same secret, which nobody here attacks. */
uint64_t tag_of(const struct keys *keys, int send, const void *data, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325 ^ keys->type;
    for (size_t i = 0; i < sizeof keys->secret[0]; i++)
        hash = (hash ^ keys->secret[send][i]) * 0x100000001b3;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ ((const uint8_t *)data)[i]) * 0x100000001b3;
    return hash;
}

static bool write_all(int fd, const uint8_t *data, size_t length)
{
    while (length) {
        ssize_t sent = write(fd, data, length);
        if (sent < 0 && errno == EAGAIN) {
            struct pollfd room = {fd, POLLOUT, 0};
            if (poll(&room, 1, 5000) <= 0)
                return false;
            continue;
        }
        if (sent <= 0)
            return false;
        data += sent;
        length -= sent;
    }
    return true;
}

int send_frame(struct quic *q, int fd, uint8_t type, uint8_t level, const void *data, size_t length)
{
    if (q->is_silent)
        return 0;
    bool tagged = type == FRAME_CRYPTO && level == LEVEL_HANDSHAKE;
    size_t size = length + (tagged ? TAG : 0);
    uint8_t *bytes = malloc(sizeof(struct frame) + size);
    if (!bytes || size > FRAME_MAX)
        abort();
    struct frame frame = {type, level, 0, size};
    memcpy(bytes, &frame, sizeof frame);
    if (tagged) {
        uint64_t tag = tag_of(&q->keys[level], 1, data, length);
        memcpy(bytes + sizeof frame, &tag, TAG);
    }
    memcpy(bytes + sizeof frame + (tagged ? TAG : 0), data, length);
    bool sent = write_all(fd, bytes, sizeof frame + size);
    free(bytes);
    return sent ? 0 : EPIPE;
}

/* The stream of TCP is at its end or broken. */
static int lost(struct quic *q, int fd)
{
    if (!hear_close(q) && q->state == ESTABLISHING) {
        say_nothing_more(q, fd); /* the listener has dropped the first packet, or the peer is gone */
        return EAGAIN;
    }
    q->state = CLOSED;
    return ENOTCONN;
}

static int broken(struct quic *q, int fd, const char *why)
{
    note("violation: %s", why);
    q->closing.code = PROTOCOL_VIOLATION;
    tell_close(q, fd, true);
    q->state = CLOSED;
    return ENOTCONN;
}

/* Takes one whole frame from the connection; data has its payload. 0, or an errno. */
static int take(struct quic *q, int fd, struct frame *frame, uint8_t **data)
{
    if (q->is_silent)
        return EAGAIN;
    ssize_t count = raw_recv(fd, frame, sizeof *frame, MSG_PEEK | MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno == ECONNRESET))
        return lost(q, fd);
    if (count < (ssize_t)sizeof *frame)
        return EAGAIN;
    if (frame->length > FRAME_MAX)
        return broken(q, fd, "a frame's length");
    if (frame->level == LEVEL_HANDSHAKE && !q->keys[LEVEL_HANDSHAKE].ready[0])
        return EAGAIN; /* kept until there are keys */
    size_t whole = sizeof *frame + frame->length;
    uint8_t *bytes = malloc(whole);
    if (!bytes)
        abort();
    if (raw_recv(fd, bytes, whole, MSG_PEEK | MSG_DONTWAIT) < (ssize_t)whole) {
        free(bytes);
        return EAGAIN;
    }
    if (raw_recv(fd, bytes, whole, MSG_DONTWAIT) != (ssize_t)whole)
        abort();
    memmove(bytes, bytes + sizeof *frame, frame->length);
    *data = bytes;
    return 0;
}

static int take_hello(struct quic *q, int fd, const struct frame *frame, const uint8_t *data)
{
    if (frame->type != FRAME_HELLO || frame->length != 2 * CONNECTION_ID)
        return broken(q, fd, "no hello");
    memcpy(q->peer_id, data, CONNECTION_ID);
    if (q->is_server)
        memcpy(q->first_id, data + CONNECTION_ID, CONNECTION_ID);
    q->saw_hello = true;
    return 0;
}

bool greeted(struct quic *q, int fd)
{
    struct pollfd readable = {fd, POLLIN, 0};
    struct frame frame;
    uint8_t *data = NULL;
    if (poll(&readable, 1, 1000) != 1 || take(q, fd, &frame, &data))
        return false;
    bool good = take_hello(q, fd, &frame, data) == 0;
    free(data);
    return good;
}

static int take_proof(struct quic *q, int fd, const struct frame *frame, const uint8_t *data)
{
    uint64_t proof = tag_of(&q->keys[LEVEL_APP], 0, "proof", 5);
    if (frame->length != sizeof proof || memcmp(data, &proof, sizeof proof))
        return broken(q, fd, "the ends have other 1-RTT secrets");
    q->proved = true;
    return 0;
}

/* A TLS message, as far as it is one. */
static int take_message(struct quic *q, int fd, const struct frame *frame, uint8_t *data)
{
    size_t skip = 0;
    if (frame->level == LEVEL_HANDSHAKE) {
        uint64_t tag = tag_of(&q->keys[LEVEL_HANDSHAKE], 0, data + TAG, frame->length - TAG);
        if (frame->length < TAG || memcmp(data, &tag, TAG))
            return broken(q, fd, "the ends have other handshake secrets");
        skip = TAG;
    }
    char entry[sizeof q->alpn + 1];
    size_t size = snprintf(entry, sizeof entry, "%c%s", (char)strlen(q->alpn), q->alpn);
    if (q->is_server && q->alpn[0] && !q->keys[LEVEL_HANDSHAKE].ready[0] && q->state == ESTABLISHING &&
        !memmem(data, frame->length, entry, size)) {
        note("no listener for the ALPN");
        q->state = CLOSED; /* the module accepts no such connection: it drops the packet */
        return ENOTCONN;
    }
    q->rest_level = frame->level;
    q->rest_length = frame->length - skip;
    q->rest_at = 0;
    q->rest = malloc(q->rest_length + 1);
    memcpy(q->rest, data + skip, q->rest_length);
    return 0;
}

int next_message(struct quic *q, int fd)
{
    while (!q->rest) {
        struct frame frame;
        uint8_t *data = NULL;
        int error = take(q, fd, &frame, &data);
        if (error)
            return error;
        if (!q->saw_hello)
            error = take_hello(q, fd, &frame, data);
        else if (frame.type == FRAME_CRYPTO)
            error = take_message(q, fd, &frame, data);
        else if (frame.type == FRAME_PROOF && q->keys[LEVEL_APP].ready[0])
            error = take_proof(q, fd, &frame, data);
        else
            error = broken(q, fd, "a frame out of place");
        free(data);
        if (error)
            return error;
        if (q->proved)
            return 0;
    }
    return 0;
}

static void close_path(char *path, size_t size, uint16_t from, uint16_t to)
{
    snprintf(path, size, "%s/close-%u-%u", getenv("KERNEL_QUIC_DIR"), from, to);
}

/* Leaves word for the peer and ends the TCP connection. application: the code is the caller's. */
void tell_close(struct quic *q, int fd, bool application)
{
    char path[512], draft[520];
    if (!application && q->state == ESTABLISHING)
        q->closing.code = APPLICATION_ERROR; /* as the module, whatever was set */
    note("close %s %#x %s", q->is_server ? "server" : "client", q->closing.code, q->closing.phrase);
    close_path(path, sizeof path, q->local, q->remote);
    snprintf(draft, sizeof draft, "%s.new", path);
    int file = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file >= 0) {
        if (write(file, &q->closing, sizeof q->closing) != sizeof q->closing || rename(draft, path))
            abort();
        raw_close(file);
    }
    raw_shutdown(fd, SHUT_RDWR);
}

bool hear_close(struct quic *q)
{
    char path[512];
    close_path(path, sizeof path, q->remote, q->local);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    bool whole = read(file, &q->closing, sizeof q->closing) == sizeof q->closing;
    raw_close(file);
    unlink(path);
    return whole;
}

void forget_close(struct quic *q)
{
    char path[512];
    close_path(path, sizeof path, q->remote, q->local);
    unlink(path);
    close_path(path, sizeof path, q->local, q->remote);
    unlink(path);
}

void say_nothing_more(struct quic *q, int fd)
{
    q->is_silent = true;
    int nothing = raw_socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (nothing < 0 || syscall(SYS_dup3, nothing, fd, O_CLOEXEC) < 0)
        abort();
    raw_close(nothing);
}
