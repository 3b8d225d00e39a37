/* An emulation of the kernel's QUIC sockets, to be preloaded: a socket of protocol 261 becomes a TCP socket, its
 * options and messages are checked as strictly as the module of github.com/lxin/quic does, and what the ends agree on
 * must agree. It emulates that interface, not QUIC: nothing here is encrypted. $KERNEL_QUIC_DIR has a log, and how
 * connections ended. It is no part of the product. */

#include "quic.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>

enum { DESCRIPTORS = 65536 };

static struct quic *sockets[DESCRIPTORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct quic *of(int fd)
{
    struct quic *q = fd >= 0 && fd < DESCRIPTORS ? __atomic_load_n(&sockets[fd], __ATOMIC_ACQUIRE) : NULL;
    return q && q->pid == getpid() ? q : NULL;
}

static int failed(int error)
{
    errno = error;
    return -1;
}

static void own(int fd, struct quic *q)
{
    if (fd < 0 || fd >= DESCRIPTORS)
        abort();
    pthread_mutex_lock(&lock);
    q->references++;
    __atomic_store_n(&sockets[fd], q, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
}

static uint16_t port_of(int fd, int call)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (syscall(call, fd, &address, &length))
        return 0;
    return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                              : ((struct sockaddr_in6 *)&address)->sin6_port);
}

static void fresh_id(uint8_t *id)
{
    if (syscall(SYS_getrandom, id, CONNECTION_ID, 0) != CONNECTION_ID)
        abort();
}

static void start(struct quic *q, int fd)
{
    q->state = ESTABLISHING;
    q->local = port_of(fd, SYS_getsockname);
    q->remote = port_of(fd, SYS_getpeername);
    fresh_id(q->id);
    if (!q->is_server) {
        forget_close(q); /* of a connection that had the same ports; the server hears of this one only now */
        fresh_id(q->first_id);
    }
    uint8_t hello[2 * CONNECTION_ID];
    memcpy(hello, q->id, CONNECTION_ID);
    memcpy(hello + CONNECTION_ID, q->first_id, CONNECTION_ID);
    send_frame(q, fd, FRAME_HELLO, 0, hello, sizeof hello);
}

int socket(int domain, int type, int protocol)
{
    if (protocol != PROTOCOL)
        return raw_socket(domain, type, protocol);
    if (domain != AF_INET && domain != AF_INET6)
        return failed(EAFNOSUPPORT);
    int fd = raw_socket(domain, SOCK_STREAM | (type & (SOCK_CLOEXEC | SOCK_NONBLOCK)), IPPROTO_TCP);
    if (fd < 0)
        return fd;
    int on = 1;
    syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* UDP has no TIME_WAIT */
    struct quic *q = calloc(1, sizeof *q);
    q->pid = getpid();
    q->own = (struct parameters){.max_idle_timeout = 30000000, .max_streams_bidi = 100, .max_streams_uni = 100};
    q->own.max_data = 2 << 20;
    q->own.max_stream_data_bidi_local = q->own.max_stream_data_bidi_remote = q->own.max_stream_data_uni = 1 << 20;
    own(fd, q);
    return fd;
}

int listen(int fd, int backlog)
{
    struct quic *q = of(fd);
    if (!q)
        return syscall(SYS_listen, fd, backlog);
    if (!backlog || q->state != CLOSED)
        return failed(refused("listen"));
    int result = syscall(SYS_listen, fd, backlog);
    if (!result) {
        q->state = LISTENING;
        q->is_server = true;
        note("listens for %s, idle %u, streams %u, window %lu", q->alpn, q->own.max_idle_timeout,
             q->own.max_streams_bidi, (unsigned long)q->own.max_data);
    }
    return result;
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    struct quic *q = of(fd);
    if (!q)
        return syscall(SYS_connect, fd, address, length);
    if (q->state != CLOSED || q->local)
        return failed(refused("connect"));
    note("connects, idle %u", q->own.max_idle_timeout);
    int flags = syscall(SYS_fcntl, fd, F_GETFL);
    syscall(SYS_fcntl, fd, F_SETFL, flags & ~O_NONBLOCK);
    int result = syscall(SYS_connect, fd, address, length), error = errno;
    syscall(SYS_fcntl, fd, F_SETFL, flags);
    if (result && error != ECONNREFUSED)
        return failed(error);
    if (result) { /* QUIC only finds out when nobody answers */
        say_nothing_more(q, fd);
        q->state = ESTABLISHING;
        return 0;
    }
    start(q, fd);
    return 0;
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    struct quic *listening = of(fd);
    int made = syscall(SYS_accept4, fd, address, length, flags);
    if (!listening || made < 0)
        return made;
    struct quic *q = calloc(1, sizeof *q);
    q->pid = getpid();
    q->is_server = true;
    q->own = listening->own;
    q->config = listening->config;
    memcpy(q->alpn, listening->alpn, sizeof q->alpn);
    own(made, q);
    start(q, made);
    if (!greeted(q, made)) {
        close(made);
        return failed(EAGAIN);
    }
    return made;
}

int accept(int fd, struct sockaddr *address, socklen_t *length)
{
    return accept4(fd, address, length, 0);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
    struct quic *q = of(fd);
    if (q && level == SOL_QUIC) {
        int error = set_option(q, fd, option, value, length);
        return error ? failed(error) : 0;
    }
    if (level == SOL_QUIC || (q && level == IPPROTO_TCP))
        return failed(ENOPROTOOPT);
    return syscall(SYS_setsockopt, fd, level, option, value, length);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
    struct quic *q = of(fd);
    if (!q || level != SOL_QUIC)
        return syscall(SYS_getsockopt, fd, level, option, value, length);
    int error = get_option(q, option, value, length);
    return error ? failed(error) : 0;
}

/* What the control messages of a message to be sent say. 0 or an errno. */
static int parse(const struct msghdr *message, int *level, struct stream *stream, bool *has_stream)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR((struct msghdr *)message, header)) {
        size_t size = header->cmsg_len - CMSG_LEN(0);
        if (header->cmsg_level != SOL_QUIC)
            continue;
        if (header->cmsg_type == CMSG_HANDSHAKE && size >= 1) {
            *level = *CMSG_DATA(header);
        } else if (header->cmsg_type == CMSG_STREAM) {
            memcpy(stream, CMSG_DATA(header), size < sizeof *stream ? size : sizeof *stream);
            *has_stream = true;
            if (stream->flags & ~STREAM_FLAGS)
                return refused("the flags of a stream");
        } else {
            return refused("a control message");
        }
    }
    return 0;
}

static ssize_t send_message(struct quic *q, int fd, const struct msghdr *message, int level)
{
    uint8_t data[FRAME_MAX];
    size_t length = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        size_t size = message->msg_iov[i].iov_len;
        if (length + size > sizeof data - TAG)
            return failed(EMSGSIZE);
        memcpy(data + length, message->msg_iov[i].iov_base, size);
        length += size;
    }
    if (level >= LEVEL_EARLY || (level != LEVEL_INITIAL && !q->keys[level].ready[1]))
        return failed(refused("a message of that level"));
    if (!length)
        return failed(EMSGSIZE);
    /* In two calls, as when the socket has little room. */
    size_t part = length > 600 ? length / 2 : length;
    int error = send_frame(q, fd, FRAME_CRYPTO, level, data, part);
    return error ? failed(error) : (ssize_t)part;
}

static void let_go(struct quic *q)
{
    pthread_mutex_lock(&lock);
    bool last = --q->references == 0;
    pthread_mutex_unlock(&lock);
    if (last) {
        free(q->rest);
        free(q);
    }
}

struct opening {
    struct quic *q;
    int fd;
    size_t window;
};

/* The peer opens the window of the stream, and whoever waits for the socket is told. */
static void *open_window(void *argument)
{
    struct opening *opening = argument;
    int size = 1 << 20;
    usleep(2000);
    pthread_mutex_lock(&lock);
    opening->q->credit = opening->window;
    opening->q->is_opening = false;
    pthread_mutex_unlock(&lock);
    if (of(opening->fd) == opening->q)
        syscall(SYS_setsockopt, opening->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size); /* wakes */
    let_go(opening->q);
    free(opening);
    return NULL;
}

/* How much of that many bytes goes out: with $KERNEL_QUIC_WINDOW the stream has a window of that size, while that of the
 * connection is open, so the socket counts as writable all the time. */
static size_t take_credit(struct quic *q, int fd, size_t length)
{
    const char *text = getenv("KERNEL_QUIC_WINDOW");
    size_t window = text ? strtoul(text, NULL, 10) : 0;
    if (!window)
        return length;
    pthread_mutex_lock(&lock);
    q->credit = q->has_window ? q->credit : window;
    q->has_window = true;
    size_t taken = length < q->credit ? length : q->credit;
    q->credit -= taken;
    bool opens = !q->credit && !q->is_opening;
    q->is_opening |= opens;
    q->references += opens;
    pthread_mutex_unlock(&lock);
    pthread_t thread;
    struct opening *opening = opens ? malloc(sizeof *opening) : NULL;
    if (opening) {
        *opening = (struct opening){q, fd, window};
        note("window is used up");
        if (pthread_create(&thread, NULL, open_window, opening) || pthread_detach(thread))
            abort();
    }
    return taken;
}

/* The first bytes of what is to be sent. */
static ssize_t send_part(int fd, struct msghdr *message, size_t length, int flags)
{
    struct iovec pieces[64];
    size_t count = 0;
    for (; count < message->msg_iovlen && count < 64 && length; count++) {
        pieces[count] = message->msg_iov[count];
        if (pieces[count].iov_len > length)
            pieces[count].iov_len = length;
        length -= pieces[count].iov_len;
    }
    message->msg_iov = pieces;
    message->msg_iovlen = count;
    return syscall(SYS_sendmsg, fd, message, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct quic *q = of(fd);
    if (!q)
        return syscall(SYS_sendmsg, fd, message, flags);
    const int allowed = STREAM_FLAGS | MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_WAITALL | 0x40000 | MSG_RST;
    if (flags & ~allowed)
        return failed(refused("the flags of a message"));
    if (q->state == CLOSED || q->state == LISTENING)
        return failed(EPIPE);
    struct stream stream = {-1, flags & STREAM_FLAGS};
    int level = -1;
    bool has_stream = false;
    int error = parse(message, &level, &stream, &has_stream);
    if (error)
        return failed(error);
    if (level >= 0)
        return send_message(q, fd, message, level);
    if (q->state != ESTABLISHED || !q->has_stream || (stream.id != -1 && stream.id != 0))
        return failed(refused("data on that stream"));
    struct msghdr plain = *message;
    plain.msg_control = NULL;
    plain.msg_controllen = 0;
    size_t length = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++)
        length += message->msg_iov[i].iov_len;
    size_t part = take_credit(q, fd, length);
    if (length && !part) {
        note("window is shut");
        return failed(EAGAIN);
    }
    ssize_t sent = send_part(fd, &plain, part, (flags & (MSG_DONTWAIT | MSG_MORE)) | MSG_NOSIGNAL);
    if (stream.flags & FLAG_FIN)
        raw_shutdown(fd, SHUT_WR);
    return sent;
}

static void put_control(struct msghdr *message, int type, const void *data, size_t length)
{
    if (message->msg_controllen < CMSG_SPACE(length)) {
        message->msg_flags |= MSG_CTRUNC;
        message->msg_controllen = 0;
        return;
    }
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_QUIC;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(length);
    memcpy(CMSG_DATA(header), data, length);
    message->msg_controllen = CMSG_SPACE(length);
}

/* From the stream, which is the TCP connection now. */
static ssize_t receive_data(struct quic *q, int fd, struct msghdr *message)
{
    struct msghdr plain = *message;
    plain.msg_control = NULL;
    plain.msg_controllen = 0;
    ssize_t count = syscall(SYS_recvmsg, fd, &plain, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN)
        return failed(q->state == CLOSED ? ENOTCONN : EAGAIN);
    struct stream stream = {0, 0};
    if (count <= 0) {
        if (q->state == CLOSED || q->saw_fin || count < 0 || hear_close(q)) {
            q->state = CLOSED;
            return failed(ENOTCONN);
        }
        q->saw_fin = true;
        stream.flags = FLAG_FIN;
    } else if (!q->saw_fin && raw_recv(fd, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
        if (hear_close(q)) { /* told by the next call */
            q->state = CLOSED;
        } else { /* the end comes with the last bytes, and is not told again */
            q->saw_fin = true;
            stream.flags = FLAG_FIN;
        }
    }
    q->has_stream = true;
    message->msg_flags = 0;
    put_control(message, CMSG_STREAM, &stream, sizeof stream);
    return count < 0 ? 0 : count;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    struct quic *q = of(fd);
    if (!q)
        return syscall(SYS_recvmsg, fd, message, flags);
    if (q->state == LISTENING || (q->state == CLOSED && !q->proved))
        return failed(ENOTCONN);
    if (!(flags & MSG_DONTWAIT) && !(syscall(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK))
        abort(); /* nobody here waits */
    if (!q->proved) {
        int error = next_message(q, fd);
        if (error)
            return failed(error);
    }
    if (!q->rest)
        return receive_data(q, fd, message);
    size_t count = q->rest_length - q->rest_at;
    if (message->msg_iovlen < 1)
        return failed(EINVAL);
    count = count < message->msg_iov[0].iov_len ? count : message->msg_iov[0].iov_len;
    memcpy(message->msg_iov[0].iov_base, q->rest + q->rest_at, count);
    q->rest_at += count;
    message->msg_flags = MSG_EOR;
    put_control(message, CMSG_HANDSHAKE, &q->rest_level, 1);
    if (q->rest_at == q->rest_length) {
        free(q->rest);
        q->rest = NULL;
    }
    return count;
}

ssize_t recvfrom(int fd, void *data, size_t length, int flags, struct sockaddr *address, socklen_t *size)
{
    if (!of(fd))
        return syscall(SYS_recvfrom, fd, data, length, flags, address, size);
    struct iovec piece = {data, length};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    return recvmsg(fd, &message, flags);
}

ssize_t recv(int fd, void *data, size_t length, int flags)
{
    return recvfrom(fd, data, length, flags, NULL, NULL);
}

ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to, socklen_t size)
{
    if (!of(fd))
        return syscall(SYS_sendto, fd, data, length, flags, to, size);
    struct iovec piece = {(void *)data, length};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    return sendmsg(fd, &message, flags);
}

ssize_t send(int fd, const void *data, size_t length, int flags)
{
    return sendto(fd, data, length, flags, NULL, 0);
}

int shutdown(int fd, int how)
{
    struct quic *q = of(fd);
    if (!q)
        return raw_shutdown(fd, how);
    if (q->state == CLOSED)
        return failed(ENOTCONN);
    if (q->state != LISTENING && how != SHUT_RD)
        tell_close(q, fd, false);
    q->state = CLOSED;
    return 0;
}

int close(int fd)
{
    struct quic *q = of(fd);
    if (!q)
        return raw_close(fd);
    pthread_mutex_lock(&lock);
    __atomic_store_n(&sockets[fd], NULL, __ATOMIC_RELEASE);
    bool last = q->references - q->is_opening == 1;
    pthread_mutex_unlock(&lock);
    if (last && (q->state == ESTABLISHED || q->state == ESTABLISHING)) {
        tell_close(q, fd, false);
        uint8_t unread[4096];
        while (raw_recv(fd, unread, sizeof unread, MSG_DONTWAIT) > 0) /* else TCP would drop what we have sent */
            ;
    }
    let_go(q);
    return raw_close(fd);
}

int dup(int fd)
{
    struct quic *q = of(fd);
    int made = syscall(SYS_dup, fd);
    if (q && made >= 0)
        own(made, q);
    return made;
}

int fcntl64(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    struct quic *q = of(fd);
    int result = syscall(SYS_fcntl, fd, command, argument);
    if (q && result >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC))
        own(result, q);
    return result;
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return fcntl64(fd, command, argument);
}
