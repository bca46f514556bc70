/* routers/gossipsub/params.c: the defaults, the profiles, and which values go together. */
#include "routers/gossipsub/gossipsub.h"

#define ALL_1_0 MSUB_F_MESH
#define ALL_1_1 (MSUB_F_MESH | MSUB_F_PX)
#define ALL_1_2 (MSUB_F_MESH | MSUB_F_PX | MSUB_F_IDONTWANT)

#define ALL_1_3 (ALL_1_2 | MSUB_F_EXTENSIONS)

static const msub_gossipsub_protocol protocols_1_3[] = {
  { "/meshsub/1.3.0", ALL_1_3 }, { "/meshsub/1.2.0", ALL_1_2 }, { "/meshsub/1.1.0", ALL_1_1 }, { "/meshsub/1.0.0", ALL_1_0 }
};
static const msub_gossipsub_protocol protocols_1_0[] = { { "/meshsub/1.0.0", ALL_1_0 } };

const msub_gossipsub_opts msub__gs_defaults = {
  .size = sizeof(msub_gossipsub_opts),
  .protocols = protocols_1_3,
  .n_protocols = sizeof protocols_1_3 / sizeof *protocols_1_3,
  .floodsub = true,
  .mesh = { .d = 6, .dlo = 5, .dhi = 12, .dscore = 4, .dout = 2, .dlazy = 6, .gossip_factor_ppm = 250000, .idontwant_bytes = 1024,
            .flood_publish = true },
  .heartbeat_ns = 1 * MSUB__S,
  .heartbeat_delay_ns = 100 * MSUB__MS,
  .history = 5,
  .history_gossip = 3,
  .cache_bytes = (size_t)64 * 1024 * 1024,
  .retransmissions = 3,
  .fanout_ttl_ns = 60 * MSUB__S,
  .prune_peers = 16,
  .prune_backoff_ns = 60 * MSUB__S,
  .unsubscribe_backoff_ns = 10 * MSUB__S,
  .max_backoff_ns = 3600 * MSUB__S,
  .graft_flood_ns = 10 * MSUB__S,
  .opportunistic_ticks = 60,
  .opportunistic_peers = 2,
  .iwant_followup_ns = 3 * MSUB__S,
  .iwant_concurrent = 3,
  .max_ihave_length = 5000,
  .max_ihave_messages = 10,
  .max_idontwant_length = 10,
  .max_idontwant_messages = 1000,
  .idontwant_ttl = 3,
  .direct_ticks = 300,
  .gater = { .threshold = 0.33, .global_decay = 0.96235062639808855, .source_decay = 0.99872160390483034, .decay_to_zero = 0.01,
             .decay_interval_ns = 1 * MSUB__S, .quiet_ns = 60 * MSUB__S, .retain_ns = 6 * 3600 * MSUB__S, .duplicate_weight = 0.125,
             .ignore_weight = 1, .reject_weight = 16 },
  .score = &msub_gossipsub_default_score,
  .iwant = { .bytes = (size_t)32 * 1024 * 1024, .advertised_only = true },
};

void msub_gossipsub_opts_init(msub_gossipsub_opts *o) { *o = msub__gs_defaults; }

void msub_gossipsub_opts_v10(msub_gossipsub_opts *o) {
  *o = msub__gs_defaults;
  o->protocols = protocols_1_0;
  o->n_protocols = 1;
  o->mesh.flood_publish = false;
  o->mesh.dout = 0;
  o->opportunistic_ticks = 0;
  o->prune_backoff_ns = o->unsubscribe_backoff_ns = o->max_backoff_ns = 0;
  o->score = NULL;
  o->iwant = (msub_gossipsub_iwant){ 0 };
}

void msub_gossipsub_opts_go_parity(msub_gossipsub_opts *o) {
  *o = msub__gs_defaults;
  o->go_parity = true;
  o->mesh.flood_publish = false;
  o->iwant_concurrent = 0;
  o->cache_bytes = SIZE_MAX / 4; /* bounded by its windows alone */
  o->iwant = (msub_gossipsub_iwant){ 0 };
  o->score = NULL; /* the reference has no defaults */
}

/* The rules of the reference, its integer division included. dlo 0 (a node that never grafts by itself) goes with dout 0. */
const char *msub__gs_mesh_fault(const msub_gossipsub_mesh *m) {
  if (m->dscore > m->dhi) return "dscore <= dhi";
  if (m->gossip_factor_ppm > 1000000) return "gossip_factor_ppm <= 1000000";
  if (m->dhi > MSUB__GS_MEMBERS) return "dhi <= 4096";
  if (!m->d && !m->dlo && !m->dhi && !m->dout) return NULL;
  if (m->dlo > m->d || m->d > m->dhi) return "dlo <= d <= dhi";
  if (m->dout >= m->dlo && (m->dout || m->dlo)) return "dout < dlo";
  if (m->dout >= m->d / 2) return "dout < d / 2";
  return NULL;
}

const char *msub_gossipsub_opts_fault(const msub_gossipsub_opts *o) {
  if (o->size != sizeof *o) return "size is what msub_gossipsub_opts_init() sets";
  const char *fault = msub__gs_mesh_fault(&o->mesh);
  if (fault) return fault;
  if (o->protocols && !o->n_protocols) return "n_protocols > 0 with protocols";
  if (!o->protocols && o->n_protocols && o->n_protocols != msub__gs_defaults.n_protocols) return "protocols with n_protocols";
  for (size_t i = 0; o->protocols && i < o->n_protocols; i++)
    if (!o->protocols[i].id || !*o->protocols[i].id) return "every protocol has an id";
  if (o->heartbeat_ns < MSUB__MS || o->heartbeat_ns > 3600 * MSUB__S) return "1 ms <= heartbeat_ns <= 1 h";
  if (o->history == 0 || o->history > 64) return "1 <= history <= 64";
  if (o->history_gossip == 0 || o->history_gossip > o->history) return "1 <= history_gossip <= history";
  if (o->prune_peers > MSUB__GS_PX_PEERS) return "prune_peers <= 64";
  if (o->max_ihave_length == 0 || o->max_ihave_length > UINT16_MAX) return "1 <= max_ihave_length <= 65535";
  if (o->idontwant_ttl > MSUB__GS_MAX_TTL) return "idontwant_ttl <= 16";
  if (o->direct_ticks == 0) return "1 <= direct_ticks";
  if (o->n_direct > MSUB__GS_DIRECT) return "n_direct <= 256";
  if (o->n_direct && !o->direct) return "direct with n_direct";
  for (size_t i = 0; i < o->n_direct; i++)
    if (!o->direct[i].p || !o->direct[i].n) return "a direct peer has an id";
  if (o->score && ((fault = msub_score_params_fault(&o->score->params, NULL)) || (fault = msub_score_thresholds_fault(&o->score->thresholds, NULL)))) return fault;
  if (o->score && o->score->params.address_share > 0 && o->score->params.address_most > -o->score->thresholds.gossip)
    return "score: address_most <= -gossip";
  if (o->mesh.score && (fault = msub_topic_score_fault(o->mesh.score, NULL))) return fault;
  return msub_gossipsub_gater_fault(&o->gater, NULL);
}
