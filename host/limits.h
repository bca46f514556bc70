/* host/limits.h: every limit of the host that no option sets. Those of the layers below it are in
 * wire/limits.h.
 *
 * *Wire*: over it a stream is refused or reset; it admits what a stock peer does by default. *Work*: what we
 * do ourselves. */
#ifndef MSUB_HOST_LIMITS_H
#define MSUB_HOST_LIMITS_H
#include "base/deadline.h"

/* ---- streams ---- */
#define MSUB__HOST_PUBSUB_INBOUND                                                                            \
  4u /* wire: pubsub streams that a peer has open to us, per router; the oldest goes */
#define MSUB__HOST_IDENTIFY_INBOUND 4u    /* wire: identify requests of a connection answered at a time */
#define MSUB__HOST_PUSH_INBOUND 4u        /* wire: pushes of a connection read at a time … */
#define MSUB__HOST_PUSH_BURST 4u          /* … and in a row; then one per MSUB__IDENTIFY_PUSH_NS */
#define MSUB__HOST_PUSH_WAIT_NS (1 * MSUB__S) /* work: before we push what changed; at most once per MSUB__IDENTIFY_PUSH_NS */
#define MSUB__HOST_PING_INBOUND 2u        /* wire: the ping specification's figure */
#define MSUB__HOST_PING_NS (10 * MSUB__S) /* work: our ping is given up */
#define MSUB__HOST_PING_IDLE_NS (60 * MSUB__S) /* wire: a ping stream without a ping */
#define MSUB__HOST_PING_QUEUED 1024u           /* wire: bytes of echoes that the peer has not read */
#define MSUB__HOST_PINGS 64u                   /* work: pings of the program under way */
/* wire: requests of one exchange protocol that a peer has served at a time, and that we have open; more wait */
#define MSUB__HOST_EXCHANGE_RUNNING 4u
#define MSUB__HOST_EXCHANGE_PROTOCOLS 64u          /* work: served at a time */
#define MSUB__HOST_EXCHANGE_NS (60 * MSUB__S)      /* work: a peer's stream, from its agreement to its last byte */
#define MSUB__HOST_EXCHANGE_BYTES (256u << 10)     /* work: written to a stream and not sent yet … */
#define MSUB__HOST_EXCHANGE_PEER_BYTES (2u << 20)  /* … and to all streams of a peer; then each that is empty takes … */
#define MSUB__HOST_EXCHANGE_LEAST (16u << 10)      /* … so many */
#define MSUB__HOST_EXCHANGE_RETRY_NS (100 * MSUB__MS) /* work: the connection had no stream for us */
#define MSUB__HOST_REFUSED_NS (2 * MSUB__S)    /* work: a stream stays for its "na" to be read */

/* ---- the pubsub stream that we open ---- */
#define MSUB__HOST_REOPEN_TRIES 4u            /* work: after it broke; then something new has to happen */
#define MSUB__HOST_REOPEN_NS (100 * MSUB__MS) /* work: before the first try, doubling */
#define MSUB__HOST_STEADY_NS (10 * MSUB__S)   /* work: a stream that lived so long has all its tries again */
#define MSUB__HOST_RETIRE_NS (10 * MSUB__S)   /* work: so long may a replaced stream stay */
#define MSUB__HOST_HELLOS 4u                  /* work: hellos repeated for a peer … */
#define MSUB__HOST_HELLO_NS (1 * MSUB__S)     /* … in this time */
/* A control lane over its bound makes a peer too slow when it takes nothing for the time; at so many times
 * the bound at once. */
#define MSUB__HOST_CONTROL_GRACE_NS (1 * MSUB__S)
#define MSUB__HOST_CONTROL_HARD 8u

/* ---- connections ---- */
#define MSUB__HOST_LISTENERS 16u
#define MSUB__HOST_DIALS_QUEUED 1024u /* work: dials that wait for their turn */
#define MSUB__HOST_KEEPS 1024u        /* work: addresses kept connected */
#define MSUB__HOST_SEND_RECORDS 4u    /* work: noise records in one send */
#define MSUB__HOST_SPARE_BLOCKS 8u    /* work: record buffers kept for the next send */
#define MSUB__HOST_LIVED_NS                                                                                  \
  (60 * MSUB__S) /* work: a connection that lived so long resets the back-off of its address */
#define MSUB__HOST_AT_ONCE_NS (5 * MSUB__S) /* work: connections of both directions that open within it are one too many */
#define MSUB__HOST_SPARE_NS (1 * MSUB__S)  /* work: then the spare one is looked at in these steps, ten times as long by who did not dial it */
#define MSUB__HOST_WAITING                                                                                   \
  16u /* work: connections that wait for their handshake, times max_pending_inbound */
#define MSUB__HOST_STALLED_NS                                                                                \
  (1 * MSUB__S)                          /* work: a handshake that stands still so long makes room for one */
#define MSUB__HOST_STOP_NS (1 * MSUB__S) /* work: for what is queued when the host stops */

/* ---- peers to be found ---- */
#define MSUB__HOST_HINT_DIALS 8u           /* work: hints that are dialled at a time … */
#define MSUB__HOST_HINT_NS (30 * MSUB__S)  /* … and so long another address of one is tried */
#define MSUB__HOST_HINT_ADDRS 8u           /* work: addresses tried of one */
#define MSUB__HOST_HINT_RECORD 16384u      /* work: bytes of a record that is looked at */
#define MSUB__HOST_RACE_ADDRS 16u          /* work: addresses of a peer that are tried … */
#define MSUB__HOST_RACE_FLYING 3u          /* … so many at a time … */
#define MSUB__HOST_RACE_NS (250 * MSUB__MS) /* … one after this pause, RFC 8305's, or when one failed */
#define MSUB__HOST_REST_NS (5 * MSUB__S)   /* work: an address that failed rests, doubling … */
#define MSUB__HOST_REST_MAX_NS (300 * MSUB__S) /* … up to this; the program may dial it all the same */
#define MSUB__HOST_TAGS 16u                /* work: tags of a peer … */
#define MSUB__HOST_TAG_NAME 32u            /* … and bytes of a name, with its NUL */
#define MSUB__HOST_ANCHORS 8u              /* work: peers kept for the next start … */
#define MSUB__HOST_ANCHOR_NS (60 * MSUB__S) /* … looked at so often */
#define MSUB__HOST_MANAGE_NS (1 * MSUB__S) /* work: between two looks at the number of connections */
#define MSUB__HOST_MIN_DIALS 4u            /* work: known peers dialled at a time to have min_peers */
#define MSUB__HOST_BOOK_PEERS 1024u        /* work: peers whose addresses are remembered … */
#define MSUB__HOST_BOOK_SAID 512u          /* … of these that only they themselves name … */
#define MSUB__HOST_BOOK_NET 32u            /* … of these again that came through one network (/24, /48) … */
#define MSUB__HOST_BOOK_ADDRS 8u           /* … addresses of each … */
#define MSUB__HOST_BOOK_RECORD 2048u       /* … and bytes of a record that is kept: with all else of a peer at most 2.4 KB in the store */
#define MSUB__HOST_BOOK_LOOK_NS (600 * MSUB__S) /* work: connected peers are renewed, and what is over goes */
#define MSUB__HOST_BOOK_CLOCK_NS (3600 * MSUB__S) /* work: a wall clock that is wrong by less lets nothing end too early over a restart */
#define MSUB__HOST_BOOK_BATCH 64u          /* work: peers written in one batch … */
#define MSUB__HOST_BOOK_LOAD 16u           /* … read in one step … */
#define MSUB__HOST_BOOK_READ 2048u         /* … and at one start */
#define MSUB__HOST_FIND_AT 64u             /* work: addresses of find_at, asked … */
#define MSUB__HOST_FIND_NS (10 * MSUB__S)  /* … not more often than this */
#define MSUB__HOST_SEEK_NS (1 * MSUB__S)   /* work: discovery is asked for a topic once in this time */
#define MSUB__HOST_SEEK_LAPSE_NS (10 * MSUB__S) /* work: and told when no router has wanted anybody for so long */

/* ---- names and addresses ---- */
#define MSUB__HOST_LOOKUPS 64u        /* work: addresses with a name that are looked up at a time, and dialled */
#define MSUB__HOST_DNS_THREADS 4u     /* work: threads that look up */
#define MSUB__HOST_DNS_NAMES 16u      /* work: names looked up for one address … */
#define MSUB__HOST_DNS_DEPTH 4u       /* … so many dnsaddr one behind the other … */
#define MSUB__HOST_DNS_CHAIN 8u       /* … aliases followed in an answer … */
#define MSUB__HOST_DNS_ANSWERS 16u    /* … records taken of one … */
#define MSUB__HOST_DNS_TEXT 1032u     /* … bytes of a text: "dnsaddr=" and an address … */
#define MSUB__HOST_DNS_MESSAGE 16384u /* … and of the answer */
#define MSUB__HOST_FILTER_RULES 256u  /* work: rules of the address filter */
#define MSUB__HOST_OBSERVED 64u       /* work: what peers say of our address: one statement of a network (/24, /48) … */
#define MSUB__HOST_OBSERVERS 4u       /* … believed when so many say the same … */
#define MSUB__HOST_OBSERVED_NS (3600 * MSUB__S) /* … and forgotten after this */

/* ---- the local network ---- */
#define MSUB__HOST_MDNS_PACKET 9000u       /* wire: bytes of a message, RFC 6762's figure */
#define MSUB__HOST_MDNS_PACKETS 500u       /* wire: messages looked at in a second; the rest is the system's to drop */
#define MSUB__HOST_MDNS_PLACES 32u         /* wire: addresses taken of one message */
#define MSUB__HOST_MDNS_TTL_S 120u         /* work: what is said holds so long, also what others say */
#define MSUB__HOST_MDNS_KNOWN 256u         /* work: addresses that are remembered … */
#define MSUB__HOST_MDNS_OF_SENDER 16u      /* … so many by the word of one address */
#define MSUB__HOST_MDNS_INTERFACES 16u     /* work: interfaces that are spoken on … */
#define MSUB__HOST_MDNS_INTERFACE_ADDRS 8u /* … and addresses of each */
#define MSUB__HOST_MDNS_QUEUED 64u         /* work: addresses on their way from the thread to the loop */
#define MSUB__HOST_MDNS_ANSWER_NS (1 * MSUB__S)  /* work: an answer at most so often on an interface, RFC 6762's figure */
#define MSUB__HOST_MDNS_ASK_NS (1 * MSUB__S)     /* work: the pause behind the first question, doubling … */
#define MSUB__HOST_MDNS_ASK_MAX_NS (60 * MSUB__S) /* … up to this; and when peers are wanted, not sooner than MSUB__HOST_FIND_NS */

/* ---- rendezvous ---- */
#define MSUB__RENDEZVOUS_REQUEST 8192u         /* wire: a request, without its length */
#define MSUB__RENDEZVOUS_ANSWER (1u << 20)     /* wire: an answer that is read (rust: the longest message) … */
#define MSUB__RENDEZVOUS_SAYS (192u << 10)     /* work: … and bytes of registrations that we put into one */
#define MSUB__RENDEZVOUS_NAMESPACE 255u        /* wire: the specification's figure */
#define MSUB__RENDEZVOUS_RECORD 4096u          /* wire: bytes of a record that a point keeps */
#define MSUB__RENDEZVOUS_COOKIE 512u           /* work: bytes of a cookie that is kept; a longer one is as none */
#define MSUB__RENDEZVOUS_REQUESTS 16u          /* wire: requests of one stream */
#define MSUB__RENDEZVOUS_POINTS 8u             /* work: points told and asked */
#define MSUB__RENDEZVOUS_RATES 4096u           /* wire: peers, and networks, whose registrations are counted at a time; further ones are refused */
#define MSUB__RENDEZVOUS_NS (10 * MSUB__S)     /* work: a request, from its stream's opening to the answer */
#define MSUB__RENDEZVOUS_REFUSED_NS (60 * MSUB__S) /* work: a registration that a point refused is tried again after this */
#define MSUB__RENDEZVOUS_ANEW_NS (60 * MSUB__S) /* work: so long are questions about what is new, then about all again */

/* ---- one step of the loop ---- */
#define MSUB__HOST_STEP_EVENTS 16u /* of the transport */
#define MSUB__HOST_STEP_BYTES (128u << 10)
#define MSUB__HOST_STEP_CALLS 64u /* of other threads */
#define MSUB__HOST_STEP_VERDICTS 256u
#define MSUB__HOST_STEP_TIMERS 256u
#define MSUB__HOST_RUN_TURN_NS (10 * MSUB__MS)

/* Patterns of topics, and the longest name that one is tried on: the engine's limit. */
#define MSUB__HOST_PATTERN 1024u
#define MSUB__HOST_PATTERN_TOPIC 256u

/* Weights of reports to the engine's conduct; 100 is a peer's whole budget. */
#define MSUB__HOST_BLAME_CONNECTION 50u /* malformed yamux: the connection is gone as well */
#define MSUB__HOST_BLAME_STREAM 10u     /* malformed multistream, identify, or frame length */
#define MSUB__HOST_BLAME_HANDSHAKE 10u
#endif
