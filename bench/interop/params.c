#include "bench/interop/interop.h"
#include <math.h>
#include <stddef.h>
#include <string.h>

/* How a field of the file becomes one of ours. NOTHING: it says how the reference's own machinery works, which has no counterpart here. */
typedef enum kind { U8, U16, U32, NS, PPM, NOTHING } kind;
typedef struct row {
  const char *name;
  kind kind;
  size_t at;
} row;
#define OPT(name, kind, field) { name, kind, offsetof(msub_gossipsub_opts, field) }
static const row rows[] = {
  OPT("D", U16, mesh.d), OPT("Dlo", U16, mesh.dlo), OPT("Dhi", U16, mesh.dhi), OPT("Dscore", U16, mesh.dscore), OPT("Dout", U16, mesh.dout),
  OPT("Dlazy", U16, mesh.dlazy), OPT("GossipFactor", PPM, mesh.gossip_factor_ppm), OPT("IDontWantMessageThreshold", U32, mesh.idontwant_bytes),
  OPT("HistoryLength", U8, history), OPT("HistoryGossip", U8, history_gossip), OPT("GossipRetransmission", U8, retransmissions),
  OPT("HeartbeatInitialDelay", NS, heartbeat_delay_ns), OPT("HeartbeatInterval", NS, heartbeat_ns), OPT("FanoutTTL", NS, fanout_ttl_ns),
  OPT("PrunePeers", U16, prune_peers), OPT("PruneBackoff", NS, prune_backoff_ns), OPT("UnsubscribeBackoff", NS, unsubscribe_backoff_ns),
  OPT("GraftFloodThreshold", NS, graft_flood_ns), OPT("OpportunisticGraftTicks", U32, opportunistic_ticks),
  OPT("OpportunisticGraftPeers", U16, opportunistic_peers), OPT("IWantFollowupTime", NS, iwant_followup_ns),
  OPT("MaxIHaveLength", U32, max_ihave_length), OPT("MaxIHaveMessages", U16, max_ihave_messages),
  OPT("MaxIDontWantLength", U16, max_idontwant_length), OPT("MaxIDontWantMessages", U16, max_idontwant_messages),
  OPT("IDontWantMessageTTL", U8, idontwant_ttl), OPT("DirectConnectTicks", U32, direct_ticks),
  { "Connectors", NOTHING, 0 }, { "MaxPendingConnections", NOTHING, 0 }, { "ConnectionTimeout", NOTHING, 0 },
  { "DirectConnectInitialDelay", NOTHING, 0 }, { "SlowHeartbeatWarning", NOTHING, 0 },
};

static bool put(void *to, kind k, double v) {
  static const double most[] = { UINT8_MAX, UINT16_MAX, UINT32_MAX, 9e18, 1, INFINITY };
  if (!(v >= 0 && v <= most[k])) return k == NOTHING;
  uint64_t n = (uint64_t)(k == PPM ? v * 1e6 + 0.5 : k == NOTHING ? 0 : v);
  switch (k) {
  case U8: *(uint8_t *)to = (uint8_t)n; break;
  case U16: memcpy(to, &(uint16_t){ (uint16_t)n }, 2); break;
  case U32:
  case PPM: memcpy(to, &(uint32_t){ (uint32_t)n }, 4); break;
  case NS: memcpy(to, &n, 8); break;
  default: break;
  }
  return true;
}

const char *params_read(const json_t *params, msub_gossipsub_opts *o) {
  static char why[120];
  const char *name;
  json_t *v;
  if (params && !json_is_object(params)) return "gossipSubParams: no object";
  json_object_foreach((json_t *)(uintptr_t)params, name, v) {
    size_t i = 0, n = sizeof rows / sizeof *rows;
    while (i < n && strcmp(rows[i].name, name) != 0) i++;
    if (i < n && json_is_number(v) && put((char *)o + rows[i].at, rows[i].kind, json_number_value(v))) continue;
    snprintf(why, sizeof why, "gossipSubParams: %.60s: %s", name, i == n ? "unknown" : "not a number that fits");
    return why;
  }
  return msub_gossipsub_opts_fault(o);
}
