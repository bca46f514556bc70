/* meshsub/score.h: peer scores of gossipsub: what a peer did, weighed; and what follows from it.
 *
 *   score(peer) = min(topic_score_cap, Σ over its topics  weight × (P1 + P2 + P3 + P3b + P4)) + P5 + P6 + P7
 *
 *   P1   time in our mesh              min(⌊time / quantum⌋, cap) × w                                        w ≥ 0
 *   P2   first to bring a message      counter × w, counter ≤ cap                                            w ≥ 0
 *   P3   brings too little to the mesh (threshold − counter)² × w while the counter is below, once active    w ≤ 0
 *   P3b  left the mesh owing           counter × w; the deficit² at each prune is added                      w ≤ 0
 *   P4   invalid messages              counter² × w                                                          w ≤ 0
 *   P5   the application's opinion     value × w                                                             any w
 *   P6   peers at its address          (peers − threshold)² × w, for each address above                      w ≤ 0
 *   P7   bad behaviour                 (counter − threshold)² × w above: broken promises, GRAFT during backoff w ≤ 0
 *
 * P2, P3, P3b, P4 and P7 are counters that decay: each decay_interval_ns they are multiplied by their decay, and become 0 below
 * decay_to_zero. Only peers that are connected decay. Who leaves with a score above 0 is forgotten; who leaves with less finds
 * its score again for retain_ns, whatever address it comes from.
 *
 * Not in the reference: another id from the same address (IPv4 /32, IPv6 /64; never loopback or ip_allow) does not begin with a clean sheet. Of what a
 * peer owed by its topics and P7 when it left, address_share is kept for its address, of all who left from there together address_most; this falls in
 * a straight line to nothing within retain_ns. Who comes from there begins with that, in the score as a term of its own, which decays by address_decay while it is
 * connected and is never told on. A session that moves to another address (msub_session_address) leaves what it owes at the old one, and has what is owed at the
 * new one if that is more. P5 and P6 are not shared. At most 8,192 addresses are known; full, the one that has been quiet longest
 * is forgotten. Nothing of it with go_parity.
 *
 * Source: gossipsub v1.1 specification; what it leaves open, as go-libp2p-pubsub. With go_parity two oddities of it, too: P3 stays active
 * after a prune until the next graft, and a prune outside the mesh adds the deficit once more. Without, a prune ends P3.
 *
 * Plain data that must outlive the plan. All numbers must be finite, and at most MSUB_SCORE_MAX either way. A *group* (time in mesh; first deliveries; …) whose
 * members are all 0 is off; without skip_atomic every group has to be filled in even when its weight is 0. */
#ifndef MESHSUB_SCORE_H
#define MESHSUB_SCORE_H
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of a topic. Ranges in brackets are of a group that is on. */
typedef struct msub_topic_score {
  bool skip_atomic;
  double weight;                                     /* ≥ 0 */
  double time_in_mesh_weight;                        /* [≥ 0] */
  uint64_t time_in_mesh_quantum_ns;                  /* [> 0] */
  double time_in_mesh_cap;                           /* [> 0] in quanta */
  double first_message_deliveries_weight;            /* [≥ 0] */
  double first_message_deliveries_decay;             /* [0 … 1, neither] */
  double first_message_deliveries_cap;               /* [> 0] */
  double mesh_message_deliveries_weight;             /* [≤ 0] */
  double mesh_message_deliveries_decay;              /* [0 … 1, neither] */
  double mesh_message_deliveries_cap;                /* [> 0] */
  double mesh_message_deliveries_threshold;          /* [> 0] */
  uint64_t mesh_message_deliveries_window_ns;        /* a copy this long after the first still counts */
  uint64_t mesh_message_deliveries_activation_ns;    /* [≥ 1 s] time in the mesh after which P3 counts */
  double mesh_message_deliveries_share;              /* 0 … 1. Not 0: the threshold is at most this share of what the median member of our
                                                      * mesh has brought. Not in the reference: without it a threshold has to know the
                                                      * traffic of the topic, and a quiet hour punishes everybody */
  double mesh_failure_penalty_weight;                /* [≤ 0] */
  double mesh_failure_penalty_decay;                 /* [0 … 1, neither] */
  double mesh_probe_penalty;                         /* ≥ 0; not 0: needs mesh_failure_penalty_weight. Then a message of a peer is now and then not
                                                      * sent to one member of the mesh, to see whether it brings it (it gets it within 2 s in any case),
                                                      * and P3b's counter grows by this for one that does not forward. At most ten a second and topic,
                                                      * never own messages, never with go_parity. Not in the reference: docs/scoring.md */
  double invalid_message_deliveries_weight;          /* [≤ 0] */
  double invalid_message_deliveries_decay;           /* [0 … 1, neither] */
} msub_topic_score;

/* The largest magnitude of any number here, so that no sum or product of them leaves the doubles. Not in the reference. */
#define MSUB_SCORE_MAX 1e30

typedef struct msub_cidr {
  uint8_t address[16];
  uint8_t n;    /* bytes of the address: 4 or 16 */
  uint8_t bits; /* of the prefix */
} msub_cidr;

typedef struct msub_score_params {
  bool skip_atomic;
  double topic_score_cap;                  /* ≥ 0; 0: none */
  bool cap_what_is_positive;               /* the cap holds for the sum of the topics that are above 0, and those below come off that. Not in
                                            * the reference: with the cap on the sum, good service in many topics pays for none in one */
  double app_specific_weight;
  double ip_colocation_factor_weight;      /* ≤ 0; 0: P6 is off */
  uint32_t ip_colocation_factor_threshold; /* ≥ 1 when on */
  const msub_cidr *ip_allow;               /* addresses that P6 never counts, besides loopback; at most 64 */
  size_t n_ip_allow;
  double behaviour_penalty_weight;         /* ≤ 0; 0: P7 is off */
  double behaviour_penalty_threshold;      /* ≥ 0 */
  double behaviour_penalty_decay;          /* 0 … 1, neither, when on */
  uint64_t decay_interval_ns;              /* ≥ 1 s */
  double decay_to_zero;                    /* 0 … 1, neither */
  uint64_t retain_ns;                      /* at most 365 days, as every duration here */
  uint64_t record_ttl_ns;                  /* how long it is known who brought what; 0: 120 s */
  double address_share;                    /* 0 … 1; 0: addresses inherit nothing. 0.25 in the default profile */
  double address_most;                     /* ≥ 0, and at most -thresholds.gossip: others' faults may cost the mesh, never gossip. 10 in the default profile */
  double address_decay;                    /* 0 … 1, neither, when on */
  const msub_topic_score *topic;           /* of topics without parameters of their own; NULL: those are not scored */
} msub_score_params;

typedef struct msub_score_thresholds {
  bool skip_atomic;
  double gossip;              /* ≤ 0. Below: no gossip to it, its IHAVE and IWANT are ignored */
  double publish;             /* ≤ gossip. Below: no own messages to it */
  double graylist;            /* ≤ publish. Below: only its subscriptions are read */
  double accept_px;           /* ≥ 0. From here on its peer exchange counts */
  double opportunistic_graft; /* ≥ 0. Median score of a mesh below which better peers are grafted */
} msub_score_thresholds;

typedef struct msub_score_opts {
  msub_score_params params;
  msub_score_thresholds thresholds;
} msub_score_opts;

/* NULL: fine; else the rule that does not hold. where (at least 96 bytes, may be NULL): "field value", as
 * "first_message_deliveries_decay 1.5". */
MSUB_API const char *msub_topic_score_fault(const msub_topic_score *t, char where[96]);
MSUB_API const char *msub_score_params_fault(const msub_score_params *p, char where[96]); /* its topic parameters included */
MSUB_API const char *msub_score_thresholds_fault(const msub_score_thresholds *t, char where[96]);

/* The decay that brings a counter from 1 to `to_zero` in `over_ns` when applied every `interval_ns`. over / interval is an integer division, as
 * in the reference; over < interval gives 0. */
MSUB_API double msub_score_decay(uint64_t over_ns, uint64_t interval_ns, double to_zero);

/* ---- are the parameters any good? ----
 *
 * A peer that does its duty on all topics but one, and forwards nothing there, must not keep a positive score: it would stay in that
 * mesh for ever (CVE-2022-47547; the property of the ACL2s model, arXiv 2212.05197). Looked at is the worst case that lasts: full caps of
 * P1 and P2 on the other topics, on this one the full cap of P1 and the full deficit of P3. */
typedef struct msub_score_of_topic { const char *topic; msub_topic_score score; } msub_score_of_topic;
typedef struct msub_score_finding {
  const char *topic;
  bool refused;         /* it keeps a positive total: `others` are worth more than `here` costs */
  double here, others;  /* of a member that forwards nothing: its score on this topic, and on all others together */
  uint64_t heartbeats;  /* after which such a member is below 0 by this topic alone; UINT64_MAX: never */
  double median;        /* with mesh_message_deliveries_share: what the median member of the mesh must bring, as counted by P3, for the total
                         * to fall to 0; where the topic is quieter than that, nobody owes enough. 0: without a share, or it never does */
} msub_score_finding;
/* One finding for each topic. `any`: the parameters hold for any number of topics, not just these. Returns how many are refused. */
MSUB_API size_t msub_score_check(const msub_score_params *p, const msub_score_of_topic *topics, size_t n, bool any, uint64_t heartbeat_ns,
                                 void (*found)(void *ud, const msub_score_finding *f), void *ud);

/* ---- what there is to see: MSUB_GOSSIPSUB_INSPECT ---- */

typedef struct msub_peer_topic_score {
  uint32_t topic_name; /* msub_name_bytes() */
  bool in_mesh, mesh_message_deliveries_active;
  uint64_t time_in_mesh_ns;
  double first_message_deliveries, mesh_message_deliveries, mesh_failure_penalty, invalid_message_deliveries; /* counters */
  double score; /* with the topic's weight */
} msub_peer_topic_score;
typedef struct msub_peer_score {
  uint32_t peer; /* msub_peer.v */
  bool connected;
  double score, app_specific, ip_colocation_factor, behaviour_penalty; /* the last two: factor and counter, without weight */
  const msub_peer_topic_score *topics; /* for the call */
  size_t n_topics;
  double inherited; /* ≤ 0: from others of its address, what is left of it */
} msub_peer_score;

#ifdef __cplusplus
}
#endif
#endif
