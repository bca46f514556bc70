/* meshsub/gossipsub.h: the gossipsub router, protocols /meshsub/1.2.0, 1.1.0, 1.0.0 and (unless another router has it)
 * /floodsub/1.0.0. Source: libp2p/specs pubsub/gossipsub v1.0 to v1.2; defaults and unwritten behaviour as go-libp2p-pubsub.
 *
 *   msub_gossipsub_opts o;  msub_gossipsub_opts_init(&o);  o.peer_exchange = true;
 *   msub_plan_new(shared, &msub_gossipsub, &o, &plan);
 *
 * Scores: every peer has score 0 until score parameters exist. */
#ifndef MESHSUB_GOSSIPSUB_H
#define MESHSUB_GOSSIPSUB_H
#include "router.h"

#ifdef __cplusplus
extern "C" {
#endif

MSUB_API extern const msub_router_ops msub_gossipsub;

/* What a protocol id stands for. */
enum {
  MSUB_F_MESH = 1,       /* GRAFT, PRUNE, IHAVE, IWANT: 1.0 */
  MSUB_F_PX = 2,         /* PRUNE with backoff and peer exchange: 1.1 */
  MSUB_F_IDONTWANT = 4,  /* 1.2 */
  MSUB_F_EXTENSIONS = 8  /* 1.3 */
};
typedef struct msub_gossipsub_protocol { const char *id; uint16_t features; } msub_gossipsub_protocol;

/* The mesh of a topic: of all topics (in the options) or of one (msub_channel_policy.params points to one). Degrees in peers.
 * Valid: dlo <= d <= dhi <= 4,096, dscore <= dhi, dout < dlo (or both 0: a node that grafts nobody by itself), dout < d / 2; or d,
 * dlo, dhi and dout all zero (a bootstrapper: no mesh). */
typedef struct msub_gossipsub_mesh {
  uint16_t d, dlo, dhi, dscore, dout, dlazy; /* 6 5 12 4 2 6 */
  uint32_t gossip_factor_ppm;                /* share of the peers outside the mesh that hear gossip, in millionths: 250,000 */
  uint32_t idontwant_bytes;                  /* data from this size on is announced by IDONTWANT: 1,024 */
  bool flood_publish;                        /* own messages go to every peer of the topic: true */
} msub_gossipsub_mesh;

typedef struct msub_gossipsub_opts {
  uint32_t size;                      /* set by msub_gossipsub_opts_init */
  const msub_gossipsub_protocol *protocols; /* newest first. NULL: /meshsub/1.2.0, 1.1.0, 1.0.0 */
  size_t n_protocols;
  bool floodsub;                      /* claims /floodsub/1.0.0, too, unless another router of the engine does: true */
  msub_gossipsub_mesh mesh;
  uint64_t heartbeat_ns, heartbeat_delay_ns; /* 1 s; the first one after 100 ms */
  uint8_t history, history_gossip;    /* windows: 5, 3 */
  size_t cache_bytes;                 /* of the message cache: 64 MiB, oldest out first */
  uint8_t retransmissions;            /* IWANT answers per id and peer: 3 */
  uint64_t fanout_ttl_ns;             /* 60 s after the last publish */
  bool peer_exchange;                 /* send peers in PRUNE: false. Received ones are hints to the world in any case */
  uint16_t prune_peers;               /* 16, sent and taken; at most 64 */
  uint64_t prune_backoff_ns, unsubscribe_backoff_ns; /* 60 s, 10 s */
  uint64_t max_backoff_ns;            /* longest that a peer may ask for: 1 h */
  uint64_t graft_flood_ns;            /* a GRAFT this soon after the PRUNE is a fault: 10 s */
  uint32_t opportunistic_ticks;       /* heartbeats between opportunistic grafts: 60; 0: never */
  uint16_t opportunistic_peers;       /* 2 */
  uint64_t iwant_followup_ns;         /* how long a peer may take to answer an IWANT: 3 s */
  uint8_t iwant_concurrent;           /* peers asked for one message at a time: 3; 0: any number */
  uint32_t max_ihave_length;          /* ids asked of a peer in a heartbeat (without go_parity 500 if that is less), and sent in an
                                       * IHAVE: 5,000; at most 65,535 */
  uint16_t max_ihave_messages;        /* RPCs with IHAVE taken of a peer in a heartbeat: 10 */
  uint16_t max_idontwant_length, max_idontwant_messages; /* ids of an RPC, 10; RPCs in a heartbeat, 1,000 */
  uint8_t idontwant_ttl;              /* heartbeats: 3; at most 16 */
  uint32_t direct_ticks;              /* heartbeats between tries to reach absent direct peers: 300 */
  const msub_bytes *direct;           /* peer ids: always served, never in a mesh; copied */
  size_t n_direct;
  bool go_parity;                     /* quirks of the reference where they can be seen (docs/conformance.md) */
} msub_gossipsub_opts;
/* The defaults above. */
MSUB_API void msub_gossipsub_opts_init(msub_gossipsub_opts *o);
/* Profiles, on top of the defaults. V10: ids up to 1.0.0; flood publish, Dout, opportunistic graft and backoff off, nothing else
 * differs. GO_PARITY: go_parity, with the reference's limits. */
MSUB_API void msub_gossipsub_opts_v10(msub_gossipsub_opts *o);
MSUB_API void msub_gossipsub_opts_go_parity(msub_gossipsub_opts *o);
/* NULL: fine; else the rule that does not hold, as text ("dlo <= d <= dhi"). msub_plan_new() answers INVAL then. */
MSUB_API const char *msub_gossipsub_opts_fault(const msub_gossipsub_opts *o);

/* msub_command(): arg is a peer id. A direct peer is served everything and never in a mesh; the world is asked to keep it connected. LIMIT: 256; NOMEM. */
enum { MSUB_GOSSIPSUB_ADD_DIRECT = 1, MSUB_GOSSIPSUB_REMOVE_DIRECT = 2 };

#ifdef __cplusplus
}
#endif
#endif
