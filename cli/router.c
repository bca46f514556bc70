#include "cli/router.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_MAX UINT64_C(3600000000000)

static const struct named {
  const char *name;
  const msub_router_ops *ops;
} routers[] = { { "gossipsub", &msub_gossipsub }, { "floodsub", &msub_floodsub }, { "randomsub", &msub_randomsub } };
#define ROUTERS (sizeof routers / sizeof *routers)

static const char *name_at(const void *ud, size_t i) {
  (void)ud;
  return i < ROUTERS ? routers[i].name : NULL;
}

static int find_router(const command *c, const char *name, const struct named **out) {
  *out = routers;
  if (!name) return -1;
  for (size_t i = 0; i < ROUTERS; i++) {
    *out = &routers[i];
    if (strcmp(routers[i].name, name) == 0) return -1;
  }
  const char *meant = nearest(name, name_at, NULL);
  return usage_error(c, "--router %s: there are gossipsub, randomsub and floodsub%s%s%s", quoted(name),
                     meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
}

/* The first option that only a mesh has a use for; NULL: none was given. */
static const char *mesh_option(const router_options *r) {
  return r->d_given           ? "--d"
         : r->dlo_given       ? "--dlo"
         : r->dhi_given       ? "--dhi"
         : r->heartbeat_given ? "--heartbeat"
         : r->px              ? "--px"
         : r->gater           ? "--gater"
         : r->direct.n        ? "--direct"
                              : NULL;
}

static uint16_t least(uint64_t a, uint64_t b) { return (uint16_t)(a < b ? a : b); }

/* What was not said follows from d in about the proportions of the defaults. */
static int mesh_degrees(const router_options *r, const command *c, msub_gossipsub_mesh *m) {
  if (!r->d_given && !r->dlo_given && !r->dhi_given) return -1;
  uint64_t d = r->d_given ? r->d : m->d;
  m->d = (uint16_t)d;
  m->dlo = r->dlo_given ? (uint16_t)r->dlo : r->d_given ? (uint16_t)(d - (d + 2) / 5) : m->dlo;
  m->dhi = r->dhi_given ? (uint16_t)r->dhi : r->d_given ? (uint16_t)(2 * d) : m->dhi;
  m->dscore = least(m->dscore, m->dhi);
  m->dout = least(m->dout, m->dlo ? m->dlo - 1u : 0);
  m->dout = least(m->dout, d >= 2 ? d / 2 - 1 : 0); /* dout < d / 2, in integers */
  if (m->dlo <= m->d && m->d <= m->dhi && m->d != 1) return -1;
  return usage_error(
      c, "--dlo %u, --d %u, --dhi %u: they must not fall from left to right, and --d 1 is no mesh", m->dlo,
      m->d, m->dhi);
}

static int direct_peers(router_options *r, const command *c) {
  r->direct_ids = take(r->direct.n * sizeof *r->direct_ids);
  r->direct_bytes = take(r->direct.n * sizeof *r->direct_bytes);
  for (size_t i = 0; i < r->direct.n; i++) {
    msub_multiaddr binary;
    msub_addr a;
    const char *text = r->direct.v[i];
    if (msub_multiaddr_parse(text, &binary) != MSUB_OK ||
        msub_multiaddr_split((msub_bytes){ binary.bytes, binary.n }, &a) != MSUB_OK)
      return -1; /* said by node_check() */
    if (a.peer_id.n == 0)
      return usage_error(c, "--direct %s: no /p2p/ID at its end; a direct peer is known by its id",
                         quoted(text));
    r->direct_ids[i] = msub_peer_id_of(a.peer_id);
    r->direct_bytes[i] = msub_peer_id_bytes(&r->direct_ids[i]);
  }
  r->gossipsub.direct = r->direct_bytes;
  r->gossipsub.n_direct = r->direct.n;
  return -1;
}

/* ---- the gater ---- */

static const struct gater_field { const char *name; bool time; size_t at; } gater_fields[] = {
#define NUMBER(name) { #name, false, offsetof(msub_gossipsub_gater, name) }
#define TIME(name) { #name, true, offsetof(msub_gossipsub_gater, name##_ns) }
  NUMBER(threshold), NUMBER(global_decay), NUMBER(source_decay), NUMBER(decay_to_zero), TIME(decay_interval), TIME(quiet), TIME(retain),
  NUMBER(duplicate_weight), NUMBER(ignore_weight), NUMBER(reject_weight),
#undef NUMBER
#undef TIME
};
#define GATER_FIELDS (sizeof gater_fields / sizeof *gater_fields)
static const char *gater_name(const void *ud, size_t i) {
  (void)ud;
  return i < GATER_FIELDS ? gater_fields[i].name : NULL;
}

static int gater_field(const command *c, char *text, msub_gossipsub_gater *g) {
  char *value = strchr(text, '='), *end = NULL;
  if (!value) return usage_error(c, "--gater=%s: no value; write NAME=VALUE", quoted(text));
  *value++ = 0;
  size_t i = 0;
  while (i < GATER_FIELDS && strcmp(gater_fields[i].name, text) != 0) i++;
  if (i == GATER_FIELDS) {
    const char *meant = nearest(text, gater_name, NULL);
    return usage_error(c, "--gater: no parameter %s%s%s%s", quoted(text), meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
  }
  char *field = (char *)g + gater_fields[i].at;
  if (gater_fields[i].time) {
    uint64_t ns;
    if (!read_duration(value, &ns)) return usage_error(c, "--gater: %s %s: not a duration; write numbers with units, as 90s or 1m30s", text, quoted(value));
    memcpy(field, &ns, sizeof ns);
    return -1;
  }
  double v = strtod(value, &end);
  if (!*value || *end || value[strspn(value, "+-.0123456789eE")]) return usage_error(c, "--gater: %s %s: not a number", text, quoted(value));
  memcpy(field, &v, sizeof v);
  return -1;
}

static int gater(const router_options *r, const command *c, msub_gossipsub_gater *g) {
  char where[96];
  int code = -1;
  g->on = r->gater;
  if (!r->gater) return -1;
  char *all = r->gater_params ? strdup(r->gater_params) : NULL, *rest = all, *one;
  while (code < 0 && (one = strsep(&rest, ",")) != NULL) code = gater_field(c, one, g);
  free(all);
  const char *fault = code < 0 ? msub_gossipsub_gater_fault(g, where) : NULL;
  return fault ? usage_error(c, "--%s: %s does not hold", where, fault) : code;
}

int router_make(router_options *r, const command *c) {
  const struct named *found;
  int code = find_router(c, r->name, &found);
  if (code >= 0) return code;
  r->ops[0] = found->ops;
  if (r->network_given && found->ops != &msub_randomsub)
    return usage_error(c, "--network is for --router randomsub; no other router asks for it");
  if (found->ops == &msub_randomsub) {
    msub_randomsub_opts_init(&r->randomsub);
    if (r->network_given) r->randomsub.network = (uint32_t)r->network;
    r->opts[0] = &r->randomsub;
  }
  if (found->ops != &msub_gossipsub) {
    const char *option = mesh_option(r);
    return option ? usage_error(c, "%s is for gossipsub; --router %s has no mesh", option, r->name) : -1;
  }
  msub_gossipsub_opts_init(&r->gossipsub);
  r->gossipsub.peer_exchange = r->px;
  if (r->heartbeat_given) {
    if (r->heartbeat > HEARTBEAT_MAX)
      return usage_error(c, "--heartbeat \"%s\": at most %s", duration_text(r->heartbeat),
                         duration_text(HEARTBEAT_MAX));
    r->gossipsub.heartbeat_ns = r->heartbeat;
    r->gossipsub.heartbeat_delay_ns =
        r->heartbeat < r->gossipsub.heartbeat_delay_ns ? r->heartbeat : r->gossipsub.heartbeat_delay_ns;
  }
  code = mesh_degrees(r, c, &r->gossipsub.mesh);
  if (code < 0) code = direct_peers(r, c);
  if (code < 0) code = gater(r, c, &r->gossipsub.gater);
  const char *fault = code < 0 ? msub_gossipsub_opts_fault(&r->gossipsub) : NULL;
  if (fault) code = usage_error(c, "the mesh's options do not go together: %s does not hold", fault);
  r->opts[0] = &r->gossipsub;
  return code;
}

void router_use(const router_options *r, msub_host_opts *o) {
  o->routers = r->ops;
  o->router_opts = r->opts;
}

void router_free(router_options *r) {
  free(r->direct.v);
  free(r->direct_ids);
  free(r->direct_bytes);
  *r = (router_options){ 0 };
}
