/* The emulation of the kernel's QUIC sockets: what its parts share. See sockets.c. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The system calls themselves: their functions are ours. */
#define raw_recv(fd, data, length, flags) syscall(SYS_recvfrom, fd, data, (size_t)(length), flags, NULL, NULL)
#define raw_close(fd) syscall(SYS_close, fd)
#define raw_socket(domain, type, protocol) ((int)syscall(SYS_socket, domain, type, protocol))
#define raw_shutdown(fd, how) syscall(SYS_shutdown, fd, how)

enum { PROTOCOL = 261, SOL_QUIC = 288 };
enum { CMSG_STREAM = 0, CMSG_HANDSHAKE = 1 };
enum { LEVEL_APP, LEVEL_INITIAL, LEVEL_HANDSHAKE, LEVEL_EARLY, LEVELS };
enum { FLAG_FIN = 0x200, FLAG_NEW = 0x400, FLAG_UNI = 0x800, FLAG_DONTWAIT = 0x10000, FLAG_SNDBLOCK = 0x2000 };
enum { STREAM_FLAGS = FLAG_FIN | FLAG_NEW | FLAG_UNI | FLAG_DONTWAIT | FLAG_SNDBLOCK };
enum { TRANSPORT_PARAMETER_ERROR = 0x08, PROTOCOL_VIOLATION = 0x0a, APPLICATION_ERROR = 0x0c };
enum { FRAME_HELLO = 1, FRAME_CRYPTO = 2, FRAME_PROOF = 3 };
enum { CONNECTION_ID = 8, TAG = 8, FRAME_MAX = 70000, PARAMETERS_MAX = 512, OPTION_MAX = 4096 };

/* As the module has them: fresh or ended; listening; in the handshake; after it. */
enum state { CLOSED, LISTENING, ESTABLISHING, ESTABLISHED };

struct keys {
    uint32_t type; /* 0: none yet */
    bool ready[2]; /* to receive, to send */
    uint8_t secret[2][48];
};

struct frame {
    uint8_t type, level;
    uint16_t zero;
    uint32_t length;
};

/* struct quic_transport_param and struct quic_config of uapi/linux/quic.h. */
struct parameters {
    uint8_t remote, disable_active_migration, grease_quic_bit, stateless_reset;
    uint8_t disable_1rtt_encryption, disable_compatible_version, active_connection_id_limit, ack_delay_exponent;
    uint16_t max_datagram_frame_size, max_udp_payload_size;
    uint32_t max_idle_timeout, max_ack_delay;
    uint16_t max_streams_bidi, max_streams_uni;
    uint64_t max_data, max_stream_data_bidi_local, max_stream_data_bidi_remote, max_stream_data_uni;
};

struct config {
    uint32_t version, plpmtud_probe_interval, initial_smoothed_rtt, payload_cipher_type;
    uint8_t congestion_control_algo, validate_peer_address, stream_data_nodelay, receive_session_ticket;
    uint8_t certificate_request, reserved[3];
    uint32_t keepalive_probe_interval;
};

struct secret {
    uint8_t send, level;
    uint16_t reserved;
    uint32_t type;
    uint8_t bytes[48];
};

struct stream {
    int64_t id;
    uint32_t flags;
};

struct closing {
    uint32_t code;
    uint8_t frame, reserved[3];
    char phrase[64];
};

/* A socket; descriptors that were duplicated share one. */
struct quic {
    int references, pid;
    enum state state;
    bool is_server;
    char alpn[128];
    struct parameters own;
    struct config config;
    uint64_t peer_streams; /* how many the peer allows us */
    bool knows_peer;       /* it has its parameters */
    struct keys keys[LEVELS];
    bool proved; /* the peer has shown that it has our secrets: from here on the TCP connection is the stream */
    bool saw_hello, saw_fin, has_stream;
    bool is_silent; /* nobody answers */
    size_t credit;  /* what the window of the stream has left, with $KERNEL_QUIC_WINDOW */
    bool has_window, is_opening;
    uint16_t local, remote; /* ports */
    uint8_t id[CONNECTION_ID], peer_id[CONNECTION_ID], first_id[CONNECTION_ID];
    struct closing closing;
    uint8_t *rest; /* of a TLS message that is partly received */
    size_t rest_length, rest_at;
    uint8_t rest_level;
};

/* interface.c: the options, checked as the module checks them. 0 or an errno. */
int set_option(struct quic *q, int fd, int option, const uint8_t *value, unsigned length);
int get_option(struct quic *q, int option, uint8_t *value, unsigned *length);
int refused(const char *what); /* notes it, EINVAL */

/* wire.c: what goes over the TCP connection. */
void note(const char *format, ...);
uint64_t tag_of(const struct keys *keys, int send, const void *data, size_t length);
int send_frame(struct quic *q, int fd, uint8_t type, uint8_t level, const void *data, size_t length);
bool greeted(struct quic *q, int fd); /* the client's hello has come, as an accepted connection's first packet has */
int next_message(struct quic *q, int fd); /* 0: rest is there; or an errno */
void tell_close(struct quic *q, int fd, bool application);
bool hear_close(struct quic *q);
void forget_close(struct quic *q);
void say_nothing_more(struct quic *q, int fd); /* the descriptor becomes one on which nothing ever happens */
