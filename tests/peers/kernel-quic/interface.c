/* The options of the sockets, with the checks of the module: state, length, level, range. */

#include "quic.h"

#include <stdlib.h>

int refused(const char *what)
{
    note("refused %s", what);
    return EINVAL;
}

static uint8_t *put_varint(uint8_t *p, uint64_t value)
{
    if (value < 64) {
        *p++ = value;
        return p;
    }
    for (int i = 7; i >= 0; i--)
        *p++ = (i == 7 ? 0xc0 : 0) | (value >> (8 * i));
    return p;
}

static bool get_varint(const uint8_t **p, const uint8_t *end, uint64_t *value)
{
    if (*p == end)
        return false;
    int length = 1 << (**p >> 6);
    if (end - *p < length)
        return false;
    *value = *(*p)++ & 0x3f;
    while (--length)
        *value = *value << 8 | *(*p)++;
    return true;
}

static uint8_t *put_number(uint8_t *p, uint8_t id, uint64_t value)
{
    uint8_t number[8];
    size_t length = put_varint(number, value) - number;
    *p++ = id;
    *p++ = length;
    memcpy(p, number, length);
    return p + length;
}

static uint8_t *put_id(uint8_t *p, uint8_t id, const uint8_t *value)
{
    *p++ = id;
    *p++ = CONNECTION_ID;
    memcpy(p, value, CONNECTION_ID);
    return p + CONNECTION_ID;
}

static unsigned encode(const struct quic *q, uint8_t *data)
{
    uint8_t *p = data;
    if (q->is_server)
        p = put_id(p, 0x00, q->first_id);
    p = put_id(p, 0x0f, q->id);
    p = put_number(p, 0x01, q->own.max_idle_timeout / 1000);
    p = put_number(p, 0x04, q->own.max_data);
    p = put_number(p, 0x05, q->own.max_stream_data_bidi_local);
    p = put_number(p, 0x06, q->own.max_stream_data_bidi_remote);
    p = put_number(p, 0x07, q->own.max_stream_data_uni);
    p = put_number(p, 0x08, q->own.max_streams_bidi);
    p = put_number(p, 0x09, q->own.max_streams_uni);
    return p - data;
}

static bool decode(struct quic *q, const uint8_t *p, unsigned length)
{
    const uint8_t *end = p + length;
    uint64_t id, size, seen = 0;
    q->peer_streams = 0;
    while (p < end) {
        if (!get_varint(&p, end, &id) || !get_varint(&p, end, &size) || size > (uint64_t)(end - p))
            return false;
        if (id < 64 && seen & (1ull << id))
            return false; /* RFC 9000 7.4 */
        seen |= id < 64 ? 1ull << id : 0;
        if (id == 0x00 && (q->is_server || size != CONNECTION_ID || memcmp(p, q->first_id, size)))
            return false;
        if (id == 0x0f && (size != CONNECTION_ID || memcmp(p, q->peer_id, size)))
            return false;
        if (id == 0x08) {
            const uint8_t *number = p;
            if (!get_varint(&number, p + size, &q->peer_streams))
                return false;
        }
        p += size;
    }
    return seen & (1ull << 0x0f);
}

static int set_peer(struct quic *q, int fd, const uint8_t *value, unsigned length)
{
    if (q->state != ESTABLISHING || length > PARAMETERS_MAX)
        return refused("TRANSPORT_PARAM_EXT");
    if (!decode(q, value, length)) {
        q->closing.code = TRANSPORT_PARAMETER_ERROR;
        tell_close(q, fd, true);
        q->state = CLOSED;
        return refused("the peer's parameters");
    }
    q->knows_peer = true;
    return 0;
}

static int set_parameters(struct quic *q, const uint8_t *value, unsigned length)
{
    struct parameters p = {0};
    memcpy(&p, value, length < sizeof p ? length : sizeof p);
    if (q->state == ESTABLISHED || (p.remote && q->state != ESTABLISHING))
        return refused("TRANSPORT_PARAM now");
    const uint64_t windows[] = {p.max_data, p.max_stream_data_bidi_local, p.max_stream_data_bidi_remote,
                                p.max_stream_data_uni};
    for (int i = 0; i < 4; i++)
        if (windows[i] && (windows[i] < 1200 || windows[i] > INT32_MAX / (i ? 8 : 4)))
            return refused("a window");
    if (p.max_idle_timeout && p.max_idle_timeout < 1000000)
        return refused("max_idle_timeout");
    if (p.max_streams_bidi > 4096 || p.max_streams_uni > 4096)
        return refused("max_streams");
    if (p.max_udp_payload_size && p.max_udp_payload_size < 1200)
        return refused("max_udp_payload_size");
    if (p.ack_delay_exponent > 20 || p.max_ack_delay >= 16384000)
        return refused("ack delay");
    if (p.active_connection_id_limit && (p.active_connection_id_limit < 2 || p.active_connection_id_limit > 8))
        return refused("active_connection_id_limit");
#define TAKE(field) q->own.field = p.field ? p.field : q->own.field
    TAKE(max_idle_timeout), TAKE(max_streams_bidi), TAKE(max_streams_uni), TAKE(max_data);
    TAKE(max_stream_data_bidi_local), TAKE(max_stream_data_bidi_remote), TAKE(max_stream_data_uni);
    return 0;
}

static int set_config(struct quic *q, const uint8_t *value, unsigned length)
{
    struct config c = {0};
    memcpy(&c, value, length < sizeof c ? length : sizeof c);
    if (q->state == ESTABLISHED)
        return refused("CONFIG now");
    if (c.payload_cipher_type && (c.payload_cipher_type < 51 || c.payload_cipher_type > 54))
        return refused("payload_cipher_type");
    if (c.keepalive_probe_interval && c.keepalive_probe_interval < 1500000)
        return refused("keepalive_probe_interval");
    if (c.plpmtud_probe_interval && c.plpmtud_probe_interval < 5000000)
        return refused("plpmtud_probe_interval");
    if (c.congestion_control_algo > 1)
        return refused("congestion_control_algo");
    if (c.validate_peer_address)
        note("validates addresses");
    q->config = c;
    return 0;
}

static int set_secret(struct quic *q, int fd, const uint8_t *value, unsigned length)
{
    struct secret s = {0};
    if (q->state != ESTABLISHING)
        return refused("CRYPTO_SECRET now");
    memcpy(&s, value, length < sizeof s ? length : sizeof s);
    if (s.level != LEVEL_APP && s.level != LEVEL_EARLY && s.level != LEVEL_HANDSHAKE)
        return refused("the level of a secret");
    struct keys *keys = &q->keys[s.level];
    if (!keys->type && (s.type < 51 || s.type > 54))
        return refused("the cipher of a secret");
    keys->type = keys->type ? keys->type : s.type;
    memcpy(keys->secret[!!s.send], s.bytes, keys->type == 52 ? 48 : 32);
    keys->ready[!!s.send] = true;
    if (s.level != LEVEL_APP || !keys->ready[0] || !keys->ready[1])
        return 0;
    if (!q->knows_peer)
        return refused("the last secret before the peer's parameters");
    uint64_t proof = tag_of(keys, 1, "proof", 5);
    q->state = ESTABLISHED;
    note("established %s, cipher %u", q->is_server ? "server" : "client", keys->type);
    if (!q->is_server && getenv("KERNEL_QUIC_STRAY")) /* as anybody can who sees the first packets */
        send_frame(q, fd, FRAME_CRYPTO, LEVEL_INITIAL, "stray", 5);
    return send_frame(q, fd, FRAME_PROOF, LEVEL_APP, &proof, sizeof proof);
}

int set_option(struct quic *q, int fd, int option, const uint8_t *value, unsigned length)
{
    if (length > OPTION_MAX)
        return refused("an option's length");
    switch (option) {
    case 5: /* CONNECTION_CLOSE */
        memset(&q->closing, 0, sizeof q->closing);
        memcpy(&q->closing, value, length < sizeof q->closing - 1 ? length : sizeof q->closing - 1);
        return 0;
    case 8:
        return set_parameters(q, value, length);
    case 9:
        return set_config(q, value, length);
    case 11: /* ALPN */
        if (!length || length >= sizeof q->alpn || q->state == LISTENING)
            return refused("ALPN");
        memcpy(q->alpn, value, length);
        q->alpn[length] = 0;
        return 0;
    case 13:
        return set_secret(q, fd, value, length);
    case 14:
        return set_peer(q, fd, value, length);
    default:
        return ENOPROTOOPT;
    }
}

static int open_stream(struct quic *q, uint8_t *value, unsigned *length)
{
    struct stream info = {0};
    *length = *length < sizeof info ? *length : sizeof info;
    memcpy(&info, value, *length);
    if (q->state == CLOSED || q->state == LISTENING)
        return EPIPE;
    if (info.flags & ~STREAM_FLAGS)
        return refused("the flags of a stream");
    info.id = info.id == -1 ? q->is_server : info.id;
    if (q->is_server || info.id != 0 || q->has_stream || !q->keys[LEVEL_APP].ready[1])
        return refused("a stream");
    if (!q->peer_streams)
        return EAGAIN;
    q->has_stream = true;
    memcpy(value, &info, *length);
    return 0;
}

int get_option(struct quic *q, int option, uint8_t *value, unsigned *length)
{
    uint8_t data[PARAMETERS_MAX];
    unsigned size;
    switch (option) {
    case 1:
        return open_stream(q, value, length);
    case 5:
        *length = *length < sizeof q->closing ? *length : sizeof q->closing;
        memcpy(value, &q->closing, *length);
        return 0;
    case 14:
        if (q->state != ESTABLISHING)
            return refused("reading TRANSPORT_PARAM_EXT now");
        size = encode(q, data);
        if (*length < size)
            return refused("a short buffer");
        memcpy(value, data, *length = size);
        return 0;
    default:
        return ENOPROTOOPT;
    }
}
