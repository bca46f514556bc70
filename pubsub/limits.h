/* pubsub/limits.h: every limit of the engine. *Wire*: over it the RPC is refused, the stream reset, the peer reported; it admits
 * whatever a stock go, rust or js peer sends by default. *Work*: over it the rest is ignored and counted, nobody is blamed.
 * Limits that an option sets have their default here. */
#ifndef MSUB_PUBSUB_LIMITS_H
#define MSUB_PUBSUB_LIMITS_H
#include "meshsub/base.h"

#define MSUB__KIB ((size_t)1024)
#define MSUB__MIB ((size_t)1024 * 1024)

/* wire */
#define MSUB__RPC_BYTES (1 * MSUB__MIB)          /* option max_rpc, to 16 MiB */
#define MSUB__RPC_BYTES_MAX (16 * MSUB__MIB)
#define MSUB__MESSAGE_BYTES (1 * MSUB__MIB)      /* option max_message */
#define MSUB__CONTROL_BYTES (512 * MSUB__KIB)    /* subscriptions and control of an RPC, raw, before decoding */
#define MSUB__PUBLISH_ENTRIES 5000               /* of an RPC */

/* work */
#define MSUB__PUBLISH_TURN 512                   /* publish entries of an RPC handled in one turn, the rest in the next */
#define MSUB__SUBSCRIPTIONS_RPC 2048             /* examined of an RPC: above what is kept of a peer, so that a hello fits */
#define MSUB__PEER_TOPICS 1024                   /* kept of a peer and router */
#define MSUB__PEER_TOPIC_BYTES (96 * MSUB__KIB)
#define MSUB__TOPICS 65536                       /* of an engine */
#define MSUB__TOPIC_BYTES (8 * MSUB__MIB)        /* all names of a shared */
#define MSUB__TOPIC_NAME 256                     /* bytes of a name */
#define MSUB__PENDING_MESSAGES 4096              /* option pending_messages */
#define MSUB__VALIDATING_TOPIC 1024              /* option validation.pending_per_topic, and of a validator */
#define MSUB__PENDING_BYTES (16 * MSUB__MIB)     /* option pending_bytes */
#define MSUB__SENDERS 8                          /* remembered of a message under judgement */
#define MSUB__SEEN_BYTES (32 * MSUB__MIB)        /* option seen_bytes */
#define MSUB__SEEN_TTL_S 120                     /* option seen_ttl_ns */
#define MSUB__BAD_BYTES 1024                     /* messages with a bad signature whose bytes are remembered */
#define MSUB__VALIDATE_TIMEOUT_S 10              /* option validate_timeout_ns */
#define MSUB__CONDUCT_ENTRIES 4096               /* peers and prefixes with a record */
#define MSUB__DEPARTED 4096                      /* peers whose block is kept after they left */
#define MSUB__DEFER_BYTES (256 * MSUB__KIB)      /* deferred messages of a topic, when its policy does not say */
#define MSUB__OFFERS 65536                       /* ids remembered as being in a policy's cache */
#define MSUB__OPEN_TOPICS 64                     /* topics asked for ids that nobody announced */
#define MSUB__CACHE_ASKERS 262144                /* (cached message, peer) pairs whose IWANTs are counted */
#define MSUB__ASK_IDS 64                         /* of msub_ask and msub_offer, in one call of the router */
#define MSUB__AUTHOR_KEY 2100                    /* key field of msub_publish_as: RSA of 8,192 bits fits */
#define MSUB__PAYLOAD_BYTES (16 * MSUB__MIB)     /* what payload_in may make of a message */

/* what we send: the tightest stock peer (rust 0.50) takes 16 KiB of subscriptions and control in an RPC, 100 subscriptions */
#define MSUB__SEND_CONTROL_BYTES (15 * MSUB__KIB)
#define MSUB__SEND_SUBSCRIPTIONS 100
#define MSUB__SEND_IDONTWANT 10                  /* ids of an RPC: a go peer looks at no more */

/* of the program */
#define MSUB__ROUTERS 7
#define MSUB__PROTOCOLS 8
#define MSUB__VALIDATORS 8
#define MSUB__TIMEOUTS 8                         /* different timeouts of validators, the engine's included */
#define MSUB__BLOCK_BYTES (64 * MSUB__KIB)
#define MSUB__LEVELS 4                           /* routers inside one another */
#define MSUB__CACHE_WINDOWS 64
#define MSUB__DEFERRED_TURN 256                  /* deferred calls run before the outermost call returns */
#define MSUB__INBOX_CALLS 65536
#define MSUB__WAITS 256                          /* publishes and programs that wait until a topic is ready */
#define MSUB__WAIT_BYTES (16 * MSUB__MIB)        /* of the payloads that wait */
#define MSUB__WATCHES 64                         /* of an engine */
#define MSUB__WATCH_EVENTS 16384                 /* that wait to be fetched */
#define MSUB__LISTED 16384                       /* peers blocked and allowed */
#define MSUB__BATCHES 64                         /* of an engine */
#define MSUB__BATCH_MESSAGES 4096                /* of a batch */
#define MSUB__BATCH_BYTES (64 * MSUB__MIB)       /* of its payloads */
#define MSUB__BATCH_SENDS 65536                  /* copies ordered at a time; with more of them the batch goes out in several parts */
#define MSUB__INBOX_BYTES (64 * MSUB__MIB)       /* of payloads waiting in it */
#define MSUB__SLOTS (1u << 20)                   /* sessions, and topics, of a router */
#define MSUB__RNG_STREAMS 9                      /* of a level: 8 of its own, the last one the engine's */
#endif
