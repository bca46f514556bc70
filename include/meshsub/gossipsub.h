/* meshsub/gossipsub.h: the gossipsub router, protocols /meshsub/1.3.0, 1.2.0, 1.1.0, 1.0.0 and (unless another router has it)
 * /floodsub/1.0.0. Source: libp2p/specs pubsub/gossipsub v1.0 to v1.3; defaults and unwritten behaviour as go-libp2p-pubsub.
 *
 *   msub_gossipsub_opts o;  msub_gossipsub_opts_init(&o);  o.peer_exchange = true;
 *   msub_plan_new(shared, &msub_gossipsub, &o, &plan);
 *
 * Scores (score.h) are on: a peer that behaves has 0 or more. opts.score = NULL switches them off: then every peer has 0. */
#ifndef MESHSUB_GOSSIPSUB_H
#define MESHSUB_GOSSIPSUB_H
#include "router.h"
#include "score.h"

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
  const msub_topic_score *score;             /* NULL: score->params.topic of the options */
} msub_gossipsub_mesh;

/* The gater: while there is no room to validate everything, who sent little that was worth it is heard less. It counts, for all peers,
 * messages whose validation began and messages that found no room (verdict THROTTLED, or a validator's timeout); and for each address
 *
 *     delivered    accepted messages that its peers were the first to bring, each with the weight of its topic
 *     duplicates   copies, of messages under judgement as well
 *     ignored      messages with the verdict IGNORE
 *     rejected     messages with the verdict REJECT, whatever the reason
 *
 * An RPC is heard whole unless all of this holds: a message found no room in the last quiet_ns; throttled / validated is at least
 * `threshold`; its address sent something. Then it is heard whole with probability
 *
 *     (1 + delivered) / (1 + delivered + duplicate_weight x duplicates + ignore_weight x ignored + reject_weight x rejected)
 *
 * and else for its control only (MSUB_FROM_CONTROL; msub_counts.unheard counts the messages). Direct peers are always heard.
 *
 * An address is 4 bytes of IPv4 or the first 8 of IPv6 (with go_parity: all 16). A peer of loopback or without an address stands for
 * itself. Counters of an address outlive its last session by retain_ns. At most 8,192 addresses are known: another one takes the place of
 * the one without a session that would be forgotten next, or, when all have sessions, shares counters with all others that come then.
 *
 * Every counter is multiplied by its decay once in decay_interval_ns, and is 0 below decay_to_zero; those of an address only as long as it
 * has a session. Source: go-libp2p-pubsub, peer_gater.go; its defaults. */
typedef struct msub_gossipsub_topic_weight {
  msub_bytes topic;
  double weight; /* >= 0; 0 stands for 1 */
} msub_gossipsub_topic_weight;
typedef struct msub_gossipsub_gater {
  bool on;                            /* false. What follows must be valid only if it is true; every number is finite */
  double threshold;                   /* 0.33; > 0 */
  double global_decay, source_decay;  /* 0.9623506… (to 0.01 in 2 min), 0.9987216… (in 1 h); between 0 and 1 */
  double decay_to_zero;               /* 0.01; between 0 and 1 */
  uint64_t decay_interval_ns;         /* 1 s; at least that */
  uint64_t quiet_ns;                  /* 60 s; at least 1 s */
  uint64_t retain_ns;                 /* 6 h; 0: until the next decay */
  double duplicate_weight;            /* 0.125; > 0 */
  double ignore_weight, reject_weight; /* 1, 16; >= 1 */
  const msub_gossipsub_topic_weight *topics; /* what a delivery on a topic counts; those not named: 1. Must outlive the plan */
  size_t n_topics;                    /* at most 1,024 */
} msub_gossipsub_gater;
/* Extensions of 1.3 that are announced to peers that speak it. Each is in use with a peer when both sides have announced it, as
 * long as the streams live that carried the announcements. A peer that announces extensions elsewhere than in its first RPC pays
 * for it with behaviour score, whatever it speaks and whatever we announce. */
typedef struct msub_gossipsub_extensions {
  bool partial; /* partial messages, on the topics whose policy says how (partial.h) */
  bool test;    /* both sides send one empty RPC; MSUB_T_EXTENSION "test" tells of the peer's */
} msub_gossipsub_extensions;

/* What a peer's IWANTs get in a heartbeat, besides `retransmissions`. Over it they are ignored and counted (msub_counts), nobody is blamed. */
typedef struct msub_gossipsub_iwant {
  size_t bytes;         /* of answers to a peer, over its sessions: 32 MiB; 0: no limit. The first answer always goes (msub_serving, router.h) */
  /* true: only what an IHAVE of ours could name to this peer, on this connection or an earlier one: a message that was in the gossip windows
   * when the peer heard gossip of its topic; any message of a topic of which the peer was told by msub_offer(), or, where a policy's cache
   * answers, by gossip, within `history` heartbeats. Topics with open_ids (channel.h) are exempt: their ids are known from elsewhere, and a
   * program that asks (msub_ask()) for ids that it was not told of must find such a topic on the other side. Stock peers ask for nothing else. */
  bool advertised_only;
} msub_gossipsub_iwant;

typedef struct msub_gossipsub_opts {
  uint32_t size;                      /* set by msub_gossipsub_opts_init */
  const msub_gossipsub_protocol *protocols; /* newest first. NULL: /meshsub/1.3.0, 1.2.0, 1.1.0, 1.0.0 */
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
  msub_gossipsub_gater gater;         /* off */
  const msub_score_opts *score;       /* NULL: no scores. msub_gossipsub_default_score in the defaults, NULL in the profiles below */
  msub_gossipsub_extensions extensions; /* all false */
  msub_gossipsub_iwant iwant;         /* in the profiles below and with go_parity: without limits */
} msub_gossipsub_opts;
/* The defaults above. */
MSUB_API void msub_gossipsub_opts_init(msub_gossipsub_opts *o);
/* Profiles, on top of the defaults. V10: ids up to 1.0.0; flood publish, Dout, opportunistic graft and backoff off, nothing else
 * differs. GO_PARITY: go_parity, with the reference's limits. */
MSUB_API void msub_gossipsub_opts_v10(msub_gossipsub_opts *o);
MSUB_API void msub_gossipsub_opts_go_parity(msub_gossipsub_opts *o);
/* NULL: fine; else the rule that does not hold, as text ("dlo <= d <= dhi"). msub_plan_new() answers INVAL then. */
MSUB_API const char *msub_gossipsub_opts_fault(const msub_gossipsub_opts *o);
/* The gater's rules alone; where (at least 96 bytes, may be NULL): the field and its value, as "gater.threshold -1". */
MSUB_API const char *msub_gossipsub_gater_fault(const msub_gossipsub_gater *o, char where[96]);

/* The scores that msub_gossipsub_opts_init() switches on; docs/scoring.md says what each number is for. */
MSUB_API extern const msub_score_opts msub_gossipsub_default_score;

/* msub_command(): arg is a peer id. A direct peer is served everything and never in a mesh; the world is asked to keep it connected. LIMIT: 256; NOMEM. */
enum { MSUB_GOSSIPSUB_ADD_DIRECT = 1, MSUB_GOSSIPSUB_REMOVE_DIRECT = 2 };

/* What the gater knows: msub_command() with MSUB_GOSSIPSUB_GATE, whose arg is a msub_gossipsub_gate * (the pointer's bytes, n its size)
 * with `peer` filled in; the rest is written. Not deferred. UNSUPPORTED: it is off; NOTFOUND: nothing is known of this peer. */
typedef struct msub_gossipsub_gate {
  msub_bytes peer;             /* its id */
  double odds;                 /* that an RPC of it is heard whole now; 1: certainly */
  double validated, throttled; /* counters of all peers */
  double delivered, duplicates, ignored, rejected; /* of the peer's address */
  uint32_t sessions;           /* of the address */
  uint32_t addresses;          /* known in all */
} msub_gossipsub_gate;
enum { MSUB_GOSSIPSUB_GATE = 16 };
/* msub_command() of scores; UNSUPPORTED when they are off.
 * APP_SCORE: arg is a msub_gossipsub_app_score: P5 of a peer that is connected or remembered (else NOTFOUND), until it is forgotten.
 * TOPIC_SCORE: arg is a msub_gossipsub_topic_score: parameters of a topic from now on, joined or not; counters above new caps are cut. INVAL, NOMEM,
 * LIMIT (4,095 topics).
 * INSPECT: arg is a msub_gossipsub_inspect: shows every peer that has a score, before the call returns. */
enum { MSUB_GOSSIPSUB_APP_SCORE = 3, MSUB_GOSSIPSUB_TOPIC_SCORE = 4, MSUB_GOSSIPSUB_INSPECT = 5 };
typedef struct msub_gossipsub_app_score { msub_bytes peer_id; double value; } msub_gossipsub_app_score;
typedef struct msub_gossipsub_topic_score { msub_bytes topic; msub_topic_score params; } msub_gossipsub_topic_score;
typedef struct msub_gossipsub_inspect {
  void (*peer)(void *ud, msub_bytes peer_id, const msub_peer_score *s); /* views for the call */
  void *ud;
} msub_gossipsub_inspect;

#ifdef __cplusplus
}
#endif
#endif
