/* wire/limits.h: every limit of the connection's lower layers, each with a name, so that a missing limit does
 * not compile.
 *
 * A *wire* value admits whatever a stock peer (go, rust, js) sends by default; over it the stream or
 * connection ends. A *work* value is what we do ourselves, or keep; what is over it is ignored or refused,
 * and nobody is blamed. */
#ifndef MSUB_WIRE_LIMITS_H
#define MSUB_WIRE_LIMITS_H
#include "base/deadline.h"

/* ---- multistream-select ---- */
#define MSUB__MSS_LINE_MAX 1024u    /* wire: a line, its newline included (go) */
#define MSUB__MSS_PROPOSALS_MAX 16u /* wire: proposals of one negotiation */
/* work: a protocol id of our own; longer ones cannot be ours and get "na" */
#define MSUB__MSS_TOKEN_MAX 160u
/* For the owner's timers: all from accept to authenticated, and to identified. */
#define MSUB__UPGRADE_NS (15 * MSUB__S)
#define MSUB__IDENTIFIED_NS (20 * MSUB__S)

/* ---- Noise ---- */
#define MSUB__NOISE_MESSAGE_MAX 65535u /* wire: what the two length bytes can say */
#define MSUB__NOISE_PLAIN_MAX 65519u   /* wire: the same without the tag */
#define MSUB__NOISE_PAYLOAD_MAX 4096u  /* wire: a handshake payload (RSA-8192 key and signature fit) */
/* work: records each way before the connection ends; the nonce has 2^64 */
#define MSUB__NOISE_RECORDS_MAX (UINT64_C(1) << 40)
#define MSUB__NOISE_MUXERS_MAX 16u /* work: entries of the peer's list that are looked at */

/* ---- yamux ---- */
#define MSUB__YAMUX_WINDOW 262144u             /* wire: what every stream begins with, each way */
#define MSUB__YAMUX_WINDOW_MAX (1024u * 1024u) /* work: how far a receive window grows */
#define MSUB__YAMUX_FRAME_MAX 16384u /* work: payload of a Data frame that we send (rust's split size) */
/* A Data frame that we accept is bounded by what is left of its stream's window: frames are passed on piece
 * by piece, so a long one costs no more than many short ones. One for a stream that is gone: */
#define MSUB__YAMUX_STRAY_MAX MSUB__YAMUX_WINDOW_MAX /* wire */
#define MSUB__YAMUX_INBOUND_MAX 512u  /* wire: the peer's open streams; more are refused with RST */
#define MSUB__YAMUX_OUTBOUND_MAX 512u /* work: our own (rust takes 512) */
/* wire: our own streams that the peer has not acknowledged (go's accept backlog) */
#define MSUB__YAMUX_UNACKED_MAX 256u
#define MSUB__YAMUX_BUFFERED_MAX (4u << 20)  /* work: unread bytes of a connection; at it we stop reading */
#define MSUB__YAMUX_BUFFERED_CALM (1u << 20) /* work: above it no window grows */
#define MSUB__YAMUX_SHARED_MAX ((size_t)64 << 20) /* work: unread bytes of all connections together */
/* work: so long may reading stand still before the fullest stream is reset */
#define MSUB__YAMUX_DRAIN_NS (10 * MSUB__S)
/* work: bytes of control frames waiting to be written; at it we stop reading, so that the peer cannot make
 * more of them (the owner still can: one frame a stream) */
#define MSUB__YAMUX_PENDING_MAX 8192u
/* work: so long may they stay at that mark (go's write timeout) */
#define MSUB__YAMUX_WRITE_NS (10 * MSUB__S)
#define MSUB__YAMUX_KEEPALIVE_NS (30 * MSUB__S) /* work: silence after which we ping */
#define MSUB__YAMUX_PONG_NS (10 * MSUB__S)      /* work: silence after that ping which ends the connection */
/* work: a round trip time older than this is measured anew before a window grows */
#define MSUB__YAMUX_RTT_NS (30 * MSUB__S)
/* work: a stream that we finished, or opened unanswered, is reset after this (go: 5 min) */
#define MSUB__YAMUX_HALF_OPEN_NS (300 * MSUB__S)
/* work: ping replies: one may wait, two a second leave */
#define MSUB__YAMUX_PING_GAP_NS (500 * MSUB__MS)
/* wire: frames that change nothing (empty Data, WindowUpdate by 0): 100 at once, 20 a second. Stock peers
 * send none. */
#define MSUB__YAMUX_EMPTY_BURST 100u
#define MSUB__YAMUX_EMPTY_PER_S 20u
/* wire: resets and refused or crossing frames: nghttp2's figures, because a stock peer that gives up 300
 * requests at once sends 300 resets at once. */
#define MSUB__YAMUX_RESET_BURST 1000u
#define MSUB__YAMUX_RESET_PER_S 33u

/* ---- identify ---- */
#define MSUB__IDENTIFY_MESSAGE_MAX 8192u /* wire: one message (go, js) */
#define MSUB__IDENTIFY_MESSAGES_MAX 10u  /* wire: messages of one answer */
#define MSUB__IDENTIFY_MERGED_MAX 16384u /* wire: all of them together */
#define MSUB__IDENTIFY_OWN_MAX 4095u     /* work: what we send, length prefix included (rust reads 4096) */
#define MSUB__IDENTIFY_PROTOCOLS_MAX 64u /* work: kept */
#define MSUB__IDENTIFY_PROTOCOL_MAX 256u /* work: bytes of a protocol id that is kept */
#define MSUB__IDENTIFY_ADDRS_MAX 16u     /* work: kept */
#define MSUB__IDENTIFY_VERSION_MAX 128u  /* work: bytes kept of agent and protocol version */
#define MSUB__IDENTIFY_NS (5 * MSUB__S)  /* for the owner's timer: an identify exchange */
#define MSUB__IDENTIFY_PUSH_NS (10 * MSUB__S) /* for the owner: one push per peer in this time */
#endif
