/* lww/ipns/names_topics.c: records of IPNS as a type of registers, and the topics that are joined for them. */
#include "lww/ipns/names_state.h"
#include <string.h>

/* ---- the type ---- */

const unsigned msub__ipns_bits = MSUB_RSA_BITS, msub__ipns_bits_8192 = MSUB_RSA_BITS_MAX;

/* Rejected is what no implementation takes. Where they differ, and where the clock decides, a key's owner could otherwise make honest peers blame each other. */
static msub_verdict verdict_of(msub_ipns_fault f) {
  switch (f) {
    case MSUB_IPNS_OK: return MSUB_ACCEPT;
    case MSUB_IPNS_TOO_LARGE:
    case MSUB_IPNS_BAD_PROTOBUF:
    case MSUB_IPNS_MISSING_DATA:
    case MSUB_IPNS_MISSING_SIGNATURE:
    case MSUB_IPNS_BAD_PUBLIC_KEY:
    case MSUB_IPNS_PUBLIC_KEY_MISMATCH:
    case MSUB_IPNS_SIGNATURE: return MSUB_REJECT;
    case MSUB_IPNS_BAD_NAME:
    case MSUB_IPNS_NO_PUBLIC_KEY:
    case MSUB_IPNS_UNSUPPORTED_KEY:
    case MSUB_IPNS_BAD_CBOR:
    case MSUB_IPNS_MISSING_FIELD:
    case MSUB_IPNS_BAD_FIELD_TYPE:
    case MSUB_IPNS_V1_V2_MISMATCH:
    case MSUB_IPNS_UNKNOWN_VALIDITY_TYPE:
    case MSUB_IPNS_BAD_VALIDITY:
    case MSUB_IPNS_EXPIRED: return MSUB_IGNORE;
  }
  return MSUB_IGNORE;
}

/* Without a clock: whether it has expired is asked by expires(). */
static msub_verdict validate(const void *type, msub_bytes topic, msub_bytes record) {
  msub_peer_id name;
  msub_ipns_record r;
  if (msub_ipns_topic_parse(topic, &name) != MSUB_OK) return MSUB_IGNORE;
  return verdict_of(msub_ipns_verify(msub_peer_id_bytes(&name), record, INT64_MIN, *(const unsigned *)type, &r));
}

static int compare(const void *type, msub_bytes topic, msub_bytes a, msub_bytes b) {
  msub_ipns_record ra, rb;
  (void)type, (void)topic;
  bool good_a = msub_ipns_read(a, &ra) == MSUB_IPNS_OK, good_b = msub_ipns_read(b, &rb) == MSUB_IPNS_OK;
  return good_a && good_b ? msub_ipns_order(&ra, &rb) : good_a - good_b;
}

static int64_t end_of(const msub_ipns_record *r) {
  if (r->eol.s >= INT64_MAX / 1000000000) return INT64_MAX;
  if (r->eol.s <= INT64_MIN / 1000000000 + 1) return INT64_MIN + 1;
  return r->eol.s * 1000000000 + r->eol.ns;
}
static int64_t expires(const void *type, msub_bytes topic, msub_bytes record) {
  msub_ipns_record r;
  (void)type, (void)topic;
  return msub_ipns_read(record, &r) == MSUB_IPNS_OK ? end_of(&r) : INT64_MIN + 1;
}
static uint64_t sequence(const void *type, msub_bytes topic, msub_bytes record) {
  msub_ipns_record r;
  (void)type, (void)topic;
  return msub_ipns_read(record, &r) == MSUB_IPNS_OK ? r.sequence : 0;
}
/* Another end of life is no contradiction: that is how a record is renewed. */
static bool contradicts(const void *type, msub_bytes topic, msub_bytes a, msub_bytes b) {
  msub_ipns_record ra, rb;
  (void)type, (void)topic;
  return msub_ipns_read(a, &ra) == MSUB_IPNS_OK && msub_ipns_read(b, &rb) == MSUB_IPNS_OK && ra.sequence == rb.sequence && !msub_bytes_eq(ra.value, rb.value);
}
static msub_verdict message(const void *wire, size_t n) { return msub_lww_validate_message(&msub__ipns_lww_ops, &msub__ipns_bits, wire, n); }
static msub_verdict message_8192(const void *wire, size_t n) { return msub_lww_validate_message(&msub__ipns_lww_ops_8192, &msub__ipns_bits_8192, wire, n); }

#define OPS(with)                                                                                                   \
  { .abi = MSUB_ABI, .size = sizeof(msub_lww_ops), .name = "ipns", .validate = validate, .compare = compare, .expires = expires, .sequence = sequence, \
    .contradicts = contradicts, .validate_message = (with), .cost_ns = 100000 }
const msub_lww_ops msub__ipns_lww_ops = OPS(message), msub__ipns_lww_ops_8192 = OPS(message_8192);

/* ---- records ---- */

static uint32_t name_of(msub_names *n, msub_bytes topic) {
  msub_peer_id name;
  return msub_ipns_topic_parse(topic, &name) == MSUB_OK ? msub__names_find(n, msub_peer_id_bytes(&name)) : MSUB__NONE;
}

void msub__names_changed(void *names, msub_bytes topic, const msub_lww_view *winner) {
  msub_names *n = names;
  uint32_t i = name_of(n, topic);
  if (i == MSUB__NONE) return;
  msub__name *e = &n->names[i];
  msub__giver_resize(n, i, (uint32_t)winner->record.n);
  e->record_n = (uint32_t)winner->record.n;
  n->count.taken++;
  n->count.by_pubsub += winner->source == MSUB_LWW_PUBSUB;
  n->count.by_put += winner->source == MSUB_LWW_GIVEN;
  if (!e->dirty) {
    e->dirty = true;
    n->dirty[n->n_dirty++] = i;
  }
  msub__names_soon(n, 0);
  msub_ipns_record r;
  if (n->o.most_life_ns == MSUB_NEVER || msub_ipns_read(winner->record, &r) != MSUB_IPNS_OK || winner->expires_ns >= end_of(&r)) return;
  n->count.far_ends++;
  if (n->o.alarm) n->o.alarm(n->o.ud, MSUB_NAMES_FAR_END, msub__name_id(e), winner->record, (msub_bytes){ NULL, 0 });
}

void msub__names_alarmed(void *names, msub_bytes topic, msub_lww_alarm what, msub_bytes winner, msub_bytes other) {
  msub_names *n = names;
  uint32_t i = name_of(n, topic);
  if (what == MSUB_LWW_JUMP) n->count.jumps++;
  else n->count.equivocations++;
  if (i == MSUB__NONE || !n->o.alarm) return;
  n->o.alarm(n->o.ud, what == MSUB_LWW_JUMP ? MSUB_NAMES_SEQUENCE_JUMP : MSUB_NAMES_EQUIVOCATION, msub__name_id(&n->names[i]), winner, other);
}

int msub__names_take(msub_names *n, uint32_t i, msub_bytes record, msub_lww_source source, msub_bytes from, bool publish, uint64_t token, const msub_now *now,
                     msub_ipns_fault *fault) {
  char text[MSUB_IPNS_TOPIC_TEXT];
  msub_ipns_record r;
  msub_lww_view v;
  msub_lww_how how;
  msub_bytes topic = msub_str(msub_ipns_topic(msub__name_id(&n->names[i]), text));
  /* What is there already is valid, and most answers are that. */
  if (source == MSUB_LWW_FETCHED && msub_lww_get(n->lww, topic, &v) == MSUB_OK && msub_bytes_eq(v.record, record)) return MSUB_ERR_MISMATCH;
  *fault = msub_ipns_verify(msub__name_id(&n->names[i]), record, now->wall_ns, msub__names_bits(n), &r);
  if (*fault == MSUB_IPNS_EXPIRED) {
    n->count.expired++;
    return MSUB_ERR_TIMEOUT;
  }
  if (*fault != MSUB_IPNS_OK) {
    n->count.invalid++;
    return MSUB_ERR_MALFORMED;
  }
  msub_lww_how_init(&how);
  how.source = source;
  how.from = from;
  how.publish = publish;
  how.durable_first = source == MSUB_LWW_OWN;
  how.validated = true;
  int rc = msub_lww_put(n->lww, topic, record, &how, now, (msub_token){ token });
  if (rc == MSUB_ERR_REFUSED || (rc == MSUB_LWW_SAME && source == MSUB_LWW_FETCHED)) {
    n->count.worse++;
    return MSUB_ERR_MISMATCH;
  }
  if (rc == MSUB_ERR_TIMEOUT) n->count.expired++;
  return rc < 0 ? rc : rc == MSUB_LWW_SAME ? MSUB_OK : n->o.store.ops && token ? MSUB_MORE : MSUB_OK;
}

/* ---- topics ---- */

/* What is left last when there is no room. */
static unsigned rank_of(const msub_names *n, const msub__sub *s) {
  unsigned flags = n->names[s->name].flags;
  if (flags & (MSUB_NAMES_FOLLOWED | MSUB_NAMES_OWNED)) return 3;
  if (!msub__list_empty(&s->resolves)) return 2;
  return flags & (MSUB_NAMES_KEPT | MSUB_NAMES_KEPT_OPEN) ? 0 : 1;
}

static bool make_room(msub_names *n, uint32_t i, const msub_now *now) {
  msub__sub *worst = NULL;
  unsigned least = 3, flags = n->names[i].flags;
  if (n->n_subs < n->o.max_subscribed) return true;
  if (!(flags & MSUB_NAMES_FOLLOWED) && flags & (MSUB_NAMES_KEPT | MSUB_NAMES_KEPT_OPEN)) return false;
  for (uint32_t k = 0; k < n->n_subs; k++) {
    msub__sub *s = n->subs[k];
    unsigned rank = rank_of(n, s);
    if (rank >= 2 || rank > least || (worst && rank == least && s->used >= worst->used)) continue;
    worst = s;
    least = rank;
  }
  if (!worst) return false;
  uint32_t name = worst->name;
  n->count.left_full++;
  msub__sub_close(worst, now);
  const msub__name *e = &n->names[name];
  if (!e->record_n && !e->flags) msub__names_drop(n, name, now);
  return true;
}

static uint64_t again_at(msub_names *n, const msub_now *now) {
  uint64_t tenth = n->o.rebroadcast_ns / 10 / 1024; /* in 1,024 steps */
  return msub__deadline(now->mono_ns, msub__sat_add_u64(n->o.rebroadcast_ns, tenth * msub__rng_below(&n->rng, 1025)));
}

int msub__sub_open(msub_names *n, uint32_t i, const msub_now *now) {
  char text[MSUB_IPNS_TOPIC_TEXT];
  if (n->names[i].sub != MSUB__NONE) return MSUB_OK;
  if (!make_room(n, i, now)) return MSUB_ERR_LIMIT;
  if (n->n_subs == n->cap_subs) {
    uint32_t cap = n->cap_subs ? n->cap_subs * 2 : 16;
    void *p = msub__realloc(&n->mem, n->subs, n->cap_subs * sizeof *n->subs, cap * sizeof *n->subs);
    if (!p) return MSUB_ERR_NOMEM;
    n->subs = p;
    n->cap_subs = cap;
  }
  msub__sub *s = msub__zalloc(&n->mem, 1, sizeof *s);
  if (!s) return MSUB_ERR_NOMEM;
  int rc = msub_lww_join(n->lww, msub_str(msub_ipns_topic(msub__name_id(&n->names[i]), text)), now, &s->t);
  if (rc != MSUB_OK) {
    msub__free(&n->mem, s, sizeof *s);
    return rc;
  }
  s->n = n;
  s->name = i;
  s->index = n->n_subs;
  s->used = now->mono_ns;
  s->again = again_at(n, now);
  msub__list_init(&s->resolves);
  n->subs[n->n_subs++] = s;
  n->names[i].sub = s->index;
  n->count.joined++;
  n->count.subscribed = n->n_subs;
  n->subs_at = 0;
  msub__names_soon(n, 0);
  msub__sub_ask(s);
  return MSUB_OK;
}

/* Nobody waits for it: whoever closes one looks to that. */
void msub__sub_close(msub__sub *s, const msub_now *now) {
  msub_names *n = s->n;
  char text[MSUB_IPNS_TOPIC_TEXT];
  (void)msub_lww_leave(n->lww, msub_str(msub_ipns_topic(msub__name_id(&n->names[s->name]), text)), true, now);
  n->names[s->name].sub = MSUB__NONE;
  msub__sub *last = n->subs[--n->n_subs];
  if (last != s) {
    last->index = s->index;
    n->subs[last->index] = last;
    n->names[last->name].sub = last->index;
  }
  n->count.left++;
  n->count.subscribed = n->n_subs;
  msub__free(&n->mem, s, sizeof *s);
}

static void again(msub__sub *s, const msub_now *now) {
  msub_names *n = s->n;
  msub_lww_view v;
  char text[MSUB_IPNS_TOPIC_TEXT];
  msub_bytes topic = msub_str(msub_ipns_topic(msub__name_id(&n->names[s->name]), text));
  s->again = again_at(n, now);
  if (msub_lww_get(n->lww, topic, &v) != MSUB_OK) return;
  bool ends = v.expires_ns != INT64_MAX && (v.expires_ns < now->wall_ns || (uint64_t)v.expires_ns - (uint64_t)now->wall_ns <= n->o.margin_ns);
  if (ends || msub_lww_rebroadcast(n->lww, topic, now) != MSUB_OK) n->count.rebroadcast_skipped++;
  else n->count.rebroadcast++;
}

static bool idle(const msub__sub *s, const msub_now *now) {
  const msub_names *n = s->n;
  return n->names[s->name].flags == 0 && msub__list_empty(&s->resolves) && msub__passed(msub__deadline(s->used, n->o.idle_ns), now->mono_ns);
}

void msub__subs_turn(msub_names *n, const msub_now *now) {
  if (!msub__passed(n->subs_at, now->mono_ns)) {
    msub__names_soon(n, n->subs_at);
    return;
  }
  n->subs_at = MSUB_NEVER;
  for (uint32_t k = n->n_subs; k-- > 0;) {
    msub__sub *s = n->subs[k];
    if (msub__passed(s->again, now->mono_ns)) again(s, now);
    if (idle(s, now)) {
      n->count.left_idle++;
      msub__names_drop(n, s->name, now);
      continue;
    }
    n->subs_at = msub__sooner(n->subs_at, s->again);
    uint64_t ends = msub__deadline(s->used, n->o.idle_ns);
    if (n->names[s->name].flags == 0 && !msub__passed(ends, now->mono_ns)) n->subs_at = msub__sooner(n->subs_at, ends);
  }
  msub__names_soon(n, n->subs_at);
}
