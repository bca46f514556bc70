/* Partial messages as the interop tests use them: a group has 8 parts of 1 KiB, metadata is a byte with a bit for each part
 * that a node has, a partial message is such a byte, the parts in ascending order, and the group's id (8 bytes, big
 * endian). Of the first node. */
#include "bench/peer/peer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS = 8, PART = 1024, ID = 8 };

struct part_group {
  char topic[64];
  uint64_t id;
  uint8_t have;
  uint8_t parts[PARTS][PART];
};

/* What is known of a peer. */
typedef struct known {
  uint8_t has, told, spoke, said;
} known;

static void put_id(uint8_t out[ID], uint64_t id) {
  for (unsigned i = 0; i < ID; i++) out[i] = (uint8_t)(id >> 8 * (7 - i));
}
static uint64_t get_id(const uint8_t *p) {
  uint64_t id = 0;
  for (unsigned i = 0; i < ID; i++) id = id << 8 | p[i];
  return id;
}
static void make_part(uint64_t group, unsigned i, uint8_t out[PART]) {
  for (unsigned k = 0; k < PART / 8; k++) put_id(out + 8 * k, group + i * (PART / 8) + k);
}
static unsigned bits(uint8_t b) {
  unsigned n = 0;
  for (; b; b &= (uint8_t)(b - 1)) n++;
  return n;
}

/* NULL: there is none, and it was not to be made or there are too many. */
static part_group *group_of(peer *p, msub_bytes topic, uint64_t id, bool make) {
  partials *x = &p->partials;
  for (size_t i = 0; i < x->n; i++)
    if (x->g[i].id == id && msub_bytes_eq(msub_str(x->g[i].topic), topic)) return &x->g[i];
  if (!make || x->n == PARTIAL_GROUPS || topic.n >= sizeof x->g->topic) return NULL;
  x->g = grow(x->g, x->n + 1, sizeof *x->g);
  part_group *g = &x->g[x->n++];
  memset(g, 0, sizeof *g);
  memcpy(g->topic, topic.p, topic.n);
  g->id = id;
  return g;
}

static msub_bytes topic_name(const msub_channel *c) {
  return msub_name_bytes(msub_engine_shared(c->engine), msub_topic_name(c->engine, c->topic));
}

static void give(const msub_channel *c, msub_bytes id, msub_partial_peer *to, msub_partial_out *out) {
  static uint8_t message[1 + PARTS * PART + ID], metadata;
  const part_group *g = id.n == ID ? group_of(c->ctx, topic_name(c), get_id(id.p), false) : NULL;
  known *k = to->state;
  if (!g) return;
  uint8_t send = to->requests && k->spoke ? g->have & (uint8_t)~k->has : 0;
  if (send) {
    size_t n = 0;
    message[n++] = send;
    for (unsigned i = 0; i < PARTS; i++)
      if (send >> i & 1) {
        memcpy(message + n, g->parts[i], PART);
        n += PART;
      }
    memcpy(message + n, id.p, ID);
    out->message = (msub_bytes){ message, n + ID };
    k->has |= send;
  }
  if (k->said && k->told == g->have && k->spoke) return;
  metadata = k->told = g->have;
  k->said = 1;
  out->metadata = (msub_bytes){ &metadata, 1 };
}

/* Peers outside the mesh hear of the group, and get no parts. */
static void gossip(const msub_channel *c, msub_bytes id, msub_partial_peer *to, msub_partial_out *out) {
  static uint8_t metadata;
  const part_group *g = id.n == ID ? group_of(c->ctx, topic_name(c), get_id(id.p), false) : NULL;
  if (!g) return;
  known *k = to->state;
  metadata = k->told = g->have;
  k->said = 1;
  out->metadata = (msub_bytes){ &metadata, 1 };
}

static void told_whole(peer *p, const part_group *g, uint8_t before) {
  if (g->have == 0xff && before != 0xff && p->partials.whole) p->partials.whole(p, g->id);
}

static msub_verdict take_parts(const msub_channel *c, msub_bytes id, msub_partial_peer *from, msub_bytes message, msub_bytes metadata) {
  peer *p = c->ctx;
  known *k = from->state;
  size_t n = message.n ? 1 + bits(message.p[0]) * (size_t)PART + ID : 0;
  part_group *g = id.n == ID && message.n == n && metadata.n <= 1 ? group_of(p, topic_name(c), get_id(id.p), true) : NULL;
  if (!g) {
    p->partials.refused++;
    return MSUB_REJECT;
  }
  uint8_t before = g->have;
  if (message.n) { /* merge first */
    const uint8_t *at = message.p + 1;
    for (unsigned i = 0; i < PARTS; i++) {
      if (!(message.p[0] >> i & 1)) continue;
      memcpy(g->parts[i], at, PART);
      at += PART;
    }
    g->have |= message.p[0];
    k->has |= message.p[0];
  }
  if (metadata.n) {
    k->has |= metadata.p[0];
    k->spoke = 1;
  }
  if (g->have != before) told_whole(p, g, before);
  if (g->have != before || k->has != g->have) msub_partial_publish(c->engine, c->topic, id, NULL, NULL, 0, NULL);
  return MSUB_ACCEPT;
}

const char *partial_read(partials *x, const json_t *q, msub_gossipsub_opts *o) {
  const char *mode = text_of(q, "partial_mode", "requests");
  x->on = flag_of(q, "partial", false);
  o->extensions.partial = x->on;
  o->extensions.test = flag_of(q, "test_extension", false);
  x->ops = (msub_partial_ops){ .abi = MSUB_ABI, .size = sizeof x->ops, .state_bytes = sizeof(known), .take = take_parts, .give = give, .gossip = gossip };
  if (strcmp(mode, "requests") == 0) x->ops.mode = MSUB_PARTIAL_REQUESTS;
  else if (strcmp(mode, "supports") == 0) x->ops.mode = MSUB_PARTIAL_SUPPORTS;
  else if (strcmp(mode, "none") != 0) return "partial_mode: requests, supports or none";
  return NULL;
}

const msub_channel_policy *partial_policy(partials *x, const msub_channel_policy *p) {
  if (!x->on || x->ops.mode == MSUB_PARTIAL_NONE) return p;
  x->policy = p ? *p : (msub_channel_policy){ .abi = MSUB_ABI, .size = sizeof x->policy, .name = "partial" };
  x->policy.size = sizeof x->policy;
  x->policy.partial = &x->ops;
  return &x->policy;
}

void partial_clear(partials *x) {
  free(x->g);
  *x = (partials){ .n = 0 };
}

/* ---- requests ---- */

/* One of the topic's peers; {0}: it is none. */
static msub_peer peer_of_topic(const msub_engine *e, msub_topic t, msub_bytes id) {
  for (size_t i = 0; i < msub_topic_peers(e, t); i++) {
    msub_peer p = msub_topic_peer(e, t, i);
    if (msub_bytes_eq(msub_peer_bytes(msub_engine_shared(e), p), id)) return p;
  }
  return (msub_peer){ 0 };
}

const char *partial_add(peer *p, const json_t *q, json_t *out) {
  (void)out;
  uint64_t id = number_of(q, "group", 0), parts = number_of(q, "parts", 0);
  part_group *g = parts < 256 ? group_of(p, msub_str(text_of(q, "topic", p->topics[0])), id, true) : NULL;
  if (!g) return "parts: 0 to 255; at most so many groups";
  for (unsigned i = 0; i < PARTS; i++)
    if (parts >> i & 1) make_part(id, i, g->parts[i]);
  uint8_t before = g->have;
  g->have |= (uint8_t)parts;
  told_whole(p, g, before);
  return NULL;
}

/* Of a topic that it has not joined: opened, the peers that get it are the fanout, or those of `to`. */
const char *partial_publish(peer *p, const json_t *q, json_t *out) {
  (void)out;
  uint8_t id[ID];
  msub_peer to[64];
  size_t i, n = 0;
  json_t *each, *names = json_object_get(q, "to");
  const char *topic = text_of(q, "topic", p->topics[0]);
  const membership *m = node_topic(p, topic);
  msub_host *h = p->nodes[0].host;
  msub_engine *e = msub_host_engine(h);
  msub_topic t = m ? m->t : (msub_topic){ 0 };
  int err = m ? MSUB_OK : msub_open(e, 0, msub_str(topic), p->policy, p, msub_host_now(h), &t);
  if (err != MSUB_OK) return msub_err_text(err);
  json_array_foreach(names, i, each) {
    msub_peer_id peer_id;
    const char *text = json_string_value(each);
    if (n == 64 || !text || msub_peer_id_parse(text, &peer_id) != MSUB_OK) return "to: at most 64 peer ids";
    to[n++] = peer_of_topic(e, t, msub_peer_id_bytes(&peer_id));
  }
  put_id(id, number_of(q, "group", 0));
  err = msub_partial_publish(e, t, (msub_bytes){ id, ID }, NULL, names ? to : NULL, n, msub_host_now(h));
  return err == MSUB_OK ? NULL : msub_err_text(err);
}

const char *partial_state(peer *p, const json_t *q, json_t *out) {
  json_t *groups = json_object();
  const char *topic = text_of(q, "topic", p->topics[0]);
  json_int_t wrong = 0;
  for (size_t i = 0; i < p->partials.n; i++) {
    const part_group *g = &p->partials.g[i];
    char name[24];
    uint8_t part[PART];
    if (strcmp(g->topic, topic) != 0) continue;
    for (unsigned k = 0; k < PARTS; k++) {
      make_part(g->id, k, part);
      wrong += g->have >> k & 1 && memcmp(part, g->parts[k], PART) != 0;
    }
    snprintf(name, sizeof name, "%llu", (unsigned long long)g->id);
    json_object_set_new(groups, name, json_integer(g->have));
  }
  json_object_set_new(out, "groups", groups);
  json_object_set_new(out, "wrong", json_integer(wrong));
  json_object_set_new(out, "refused", json_integer((json_int_t)p->partials.refused));
  json_object_set_new(out, "tests", json_integer((json_int_t)p->trace.tests));
  return NULL;
}
