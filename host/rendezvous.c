/* host/rendezvous.c: topics registered at points and peers asked for, one request at a time to each point. */
#include <string.h>
#include "base/mem.h"
#include "host/limits.h"
#include "meshsub/crypto.h"
#include "meshsub/rendezvous.h"
#include "meshsub/rpc.h"
#include "wire/rendezvous.h"

#define PREFIX_MAX 64u
#define ASKED_FOR 64u /* peers in an answer; when so many come there may be more, and the next question follows at once */

typedef struct at_point {
  bool registered;
  uint64_t register_at, find_at, anew_at; /* anew_at: the cookie is given up */
  uint8_t *cookie;
  size_t cookie_n;
} at_point;
typedef struct topic {
  bool advertised;
  void (*found)(void *ud, msub_bytes peer_id, msub_bytes addr); /* NULL: none are wanted */
  void *found_ud;
  at_point at[MSUB__RENDEZVOUS_POINTS];
  size_t n;
  uint8_t ns[]; /* with the prefix */
} topic;
typedef struct point {
  struct msub_rendezvous *r;
  msub_peer_id id;
  uint64_t not_before; /* after a failure */
  msub_record_dialect dialect;
  bool tried; /* the other one was refused before it */
  /* The request under way. */
  msub_stream *stream;
  topic *of; /* NULL: gone meanwhile */
  msub__rv_type type;
  bool answered;
  msub_frames in;
  uint8_t *out;
  size_t out_n, out_at;
} point;
struct msub_rendezvous {
  msub_mem mem;
  msub_rendezvous_opts o;
  char prefix[PREFIX_MAX + 1];
  msub_exchange x;
  msub_peer_id self;
  size_t (*record)(void *ud, msub_record_dialect dialect, uint8_t *out, size_t cap);
  void *record_ud;
  msub_rendezvous_counts counts;
  uint64_t next; /* 0: something is new */
  size_t n, cap;
  topic **all;
  point points[MSUB__RENDEZVOUS_POINTS];
  size_t n_leaving;
};
/* An UNREGISTER of a host that stops: they all go out at once. */
typedef struct leaving {
  msub_rendezvous *r;
  msub_stream *stream;
  size_t n, at;
  uint8_t out[];
} leaving;

static uint64_t now_of(const msub_rendezvous *r) { return r->x.ops->now(r->x.x); }
static msub_bytes ns_of(const topic *t) { return (msub_bytes){ t->ns, t->n }; }

/* ---- topics ---- */

static void forget_cookie(msub_rendezvous *r, at_point *a) {
  msub__free(&r->mem, a->cookie, a->cookie_n);
  a->cookie = NULL;
  a->cookie_n = 0;
}
static topic *find(const msub_rendezvous *r, msub_bytes name) {
  size_t pre = strlen(r->prefix);
  for (size_t i = 0; i < r->n; i++) {
    topic *t = r->all[i];
    if (t->n == pre + name.n && (name.n == 0 || memcmp(t->ns + pre, name.p, name.n) == 0)) return t;
  }
  return NULL;
}
static topic *add(msub_rendezvous *r, msub_bytes name) {
  size_t pre = strlen(r->prefix);
  if (r->n >= r->o.max_topics || name.n > MSUB__RENDEZVOUS_NAMESPACE - pre || pre + name.n == 0) return NULL;
  if (r->n == r->cap) {
    size_t cap = r->cap ? r->cap * 2 : 8;
    topic **all = msub__realloc(&r->mem, r->all, r->cap * sizeof *all, cap * sizeof *all);
    if (!all) return NULL;
    r->all = all;
    r->cap = cap;
  }
  topic *t = msub__zalloc(&r->mem, 1, sizeof *t + pre + name.n);
  if (!t) return NULL;
  t->n = pre + name.n;
  memcpy(t->ns, r->prefix, pre);
  if (name.n > 0) memcpy(t->ns + pre, name.p, name.n);
  return r->all[r->n++] = t;
}
static void free_topic(msub_rendezvous *r, topic *t) {
  for (size_t i = 0; i < r->o.n_points; i++) {
    forget_cookie(r, &t->at[i]);
    if (r->points[i].of == t) r->points[i].of = NULL;
  }
  msub__free(&r->mem, t, sizeof *t + t->n);
}
/* Nothing is wanted of it any more, and no point has it. */
static bool is_over(const msub_rendezvous *r, const topic *t) {
  if (t->advertised || t->found) return false;
  for (size_t i = 0; i < r->o.n_points; i++) {
    if (t->at[i].registered || r->points[i].of == t) return false;
  }
  return true;
}

static void advertise(void *d, msub_bytes name, bool on) {
  msub_rendezvous *r = d;
  topic *t = find(r, name);
  if (!t && on && !(t = add(r, name))) r->counts.left_out++;
  if (!t || t->advertised == on) return;
  t->advertised = on;
  for (size_t i = 0; i < r->o.n_points; i++) t->at[i].register_at = 0;
  r->next = 0;
}
static void seek(void *d, msub_bytes name, unsigned n, void (*found)(void *ud, msub_bytes peer_id, msub_bytes addr), void *ud) {
  msub_rendezvous *r = d;
  topic *t = find(r, name);
  (void)n; /* a point hands out whom it likes; the host dials within its limits */
  if (!t && !(t = add(r, name))) {
    r->counts.left_out++;
    return;
  }
  if (!t->found) r->next = 0;
  t->found = found;
  t->found_ud = ud;
}
static void cancel(void *d, msub_bytes name) {
  topic *t = find(d, name);
  if (t) t->found = NULL;
  ((msub_rendezvous *)d)->next = 0;
}
/* ---- answers ---- */

static void hand_on(msub_rendezvous *r, const topic *t, const msub__rv_message *m) {
  msub_peer_record rec;
  if (!msub_bytes_eq(m->ns, ns_of(t)) || msub_peer_record_open(m->record, (msub_bytes){ NULL, 0 }, &rec) != MSUB_OK) {
    r->counts.bad++;
    return;
  }
  msub_bytes id = msub_peer_id_bytes(&rec.peer);
  if (msub_bytes_eq(id, msub_peer_id_bytes(&r->self))) return;
  r->counts.found++;
  for (size_t i = 0; i < rec.n_addrs && t->found; i++) t->found(t->found_ud, id, rec.addrs[i]);
}

static void discovered(msub_rendezvous *r, topic *t, at_point *a, const msub__rv_message *m, uint64_t now) {
  msub__rv_message one;
  unsigned n = 0;
  r->counts.asked++;
  for (msub_bytes rest = m->part; n < ASKED_FOR && msub__rv_registration(&rest, &one); n++) hand_on(r, t, &one);
  if (!a->cookie) a->anew_at = msub__deadline(now, MSUB__RENDEZVOUS_ANEW_NS);
  forget_cookie(r, a);
  if (m->cookie.n > 0 && m->cookie.n <= MSUB__RENDEZVOUS_COOKIE && (a->cookie = msub__alloc(&r->mem, m->cookie.n))) {
    memcpy(a->cookie, m->cookie.p, m->cookie.n);
    a->cookie_n = m->cookie.n;
  }
  a->find_at = n == ASKED_FOR && a->cookie ? now : msub__deadline(now, r->o.find_ns);
}

/* The point could not do anything with our record. When it shall have the next one. */
static uint64_t other_dialect(point *p, uint64_t now) {
  uint64_t wait = p->tried ? MSUB__RENDEZVOUS_REFUSED_NS : p->r->o.retry_ns;
  p->dialect = p->dialect == MSUB_RECORD_RFC ? MSUB_RECORD_GO : MSUB_RECORD_RFC;
  p->tried = !p->tried;
  return msub__deadline(now, wait);
}

static void answered(point *p, msub_bytes in) {
  msub_rendezvous *r = p->r;
  msub__rv_message m;
  uint64_t now = now_of(r);
  msub__rv_type due = p->type == MSUB__RV_REGISTER ? MSUB__RV_REGISTER_RESPONSE : MSUB__RV_DISCOVER_RESPONSE;
  topic *t = p->of;
  if (msub__rv_parse(in, &m) != MSUB_OK || m.type != due) {
    r->counts.bad++;
    return; /* as no answer */
  }
  p->answered = true;
  if (m.status != MSUB__RV_OK) r->counts.refused++;
  if (!t) return;
  at_point *a = &t->at[p - r->points];
  if (due == MSUB__RV_REGISTER_RESPONSE) {
    if (m.status == MSUB__RV_OK) {
      uint64_t ttl = m.has_ttl ? msub__remote_seconds(m.ttl, 259200 * MSUB__S) : r->o.ttl_s * MSUB__S;
      r->counts.registered++;
      a->registered = true;
      p->tried = false;
      a->register_at = msub__deadline(now, ttl / 2 > r->o.retry_ns ? ttl / 2 : r->o.retry_ns);
      if (!t->advertised) a->register_at = 0;
    } else if (m.status == MSUB__RV_INVALID_RECORD) {
      a->register_at = other_dialect(p, now);
    } else {
      a->register_at = msub__deadline(now, MSUB__RENDEZVOUS_REFUSED_NS);
    }
  } else if (m.status == MSUB__RV_OK) {
    discovered(r, t, a, &m, now);
  } else {
    forget_cookie(r, a);
    a->find_at = msub__deadline(now, r->o.find_ns);
  }
}

/* ---- the stream ---- */

static void flush(point *p) {
  const msub_exchange *x = &p->r->x;
  if (!p->stream || p->out_at == p->out_n) return;
  p->out_at += x->ops->write(x->x, p->stream, (msub_bytes){ p->out + p->out_at, p->out_n - p->out_at });
  if (p->out_at == p->out_n) x->ops->finish(x->x, p->stream);
}
static size_t on_data(void *word, msub_stream *s, msub_bytes b) {
  point *p = word;
  msub_bytes one;
  int rc;
  (void)s;
  if (p->answered) return b.n;
  msub_frames_feed(&p->in, b);
  while ((rc = msub_frames_next(&p->in, &one)) > 0) {
    if (!p->answered) answered(p, one);
  }
  if (rc < 0) p->r->counts.bad++, p->r->x.ops->reset(p->r->x.x, p->stream);
  return b.n;
}
static void on_finish(void *word, msub_stream *s) {
  (void)word, (void)s; /* we have finished already, or are about to */
}
static void on_writable(void *word, msub_stream *s) {
  (void)s;
  flush(word);
}
/* Nothing comes back to an UNREGISTER; points on rust-libp2p drop its stream. */
static bool is_said(msub_end why, bool all_out) { return why == MSUB_END_FINISHED || (why == MSUB_END_RESET && all_out); }

static void on_end(void *word, msub_stream *s, msub_end why) {
  point *p = word;
  msub_rendezvous *r = p->r;
  (void)s;
  topic *of = p->of;
  bool said = p->type == MSUB__RV_UNREGISTER && is_said(why, p->out_at == p->out_n);
  p->stream = NULL;
  p->of = NULL;
  msub_frames_fini(&p->in);
  msub__free(&r->mem, p->out, p->out_n);
  p->out = NULL;
  p->out_n = p->out_at = 0;
  r->counts.unregistered += said;
  if (!p->answered && !said) {
    r->counts.failed++;
    p->not_before = msub__deadline(now_of(r), r->o.retry_ns);
    if (p->type == MSUB__RV_REGISTER && of && (why == MSUB_END_RESET || why == MSUB_END_FINISHED)) of->at[p - r->points].register_at = other_dialect(p, now_of(r));
  }
  r->next = 0;
}
static const msub_stream_handler handler = { .abi = MSUB_ABI, .size = sizeof handler, .on_data = on_data, .on_finish = on_finish, .on_writable = on_writable,
                                             .on_end = on_end };

/* With its length in front; out NULL: how many bytes that takes. */
static size_t encode(const msub__rv_message *m, uint8_t *out) {
  size_t body = msub__rv_encode(m, NULL, 0);
  if (!out) return msub_varint_size(body) + body;
  size_t at = msub_varint_put(out, body);
  return at + msub__rv_encode(m, out + at, body);
}
static bool open_stream(const point *p, uint64_t now, const msub_stream_handler *h, void *word, msub_stream **out) {
  const msub_exchange *x = &p->r->x;
  return x->ops->open(x->x, msub_peer_id_bytes(&p->id), MSUB_RENDEZVOUS_PROTOCOL, msub__deadline(now, MSUB__RENDEZVOUS_NS), h, word, out) == MSUB_OK;
}

/* false: not now. */
static bool send(point *p, topic *t, const msub__rv_message *m, uint64_t now) {
  msub_rendezvous *r = p->r;
  size_t n = encode(m, NULL);
  if (!(p->out = msub__alloc(&r->mem, n))) return false;
  (void)encode(m, p->out);
  if (!open_stream(p, now, &handler, p, &p->stream)) {
    msub__free(&r->mem, p->out, n);
    p->stream = NULL;
    p->out = NULL;
    return false;
  }
  p->of = t;
  p->type = m->type;
  p->answered = false;
  p->out_n = n;
  msub_frames_init(&p->in, &r->mem, MSUB__RENDEZVOUS_ANSWER, 0);
  flush(p);
  return true;
}

/* What is due first of a topic; MSUB_NEVER: nothing. */
static uint64_t due_at(const topic *t, const at_point *a) {
  if (!t->advertised && a->registered) return 0;
  uint64_t at = t->advertised ? a->register_at : MSUB_NEVER;
  return t->found ? msub__sooner(at, a->find_at) : at;
}

static bool tend(point *p, topic *t, uint64_t now) {
  msub_rendezvous *r = p->r;
  at_point *a = &t->at[p - r->points];
  uint8_t record[MSUB__RENDEZVOUS_RECORD];
  msub__rv_message m = { .type = MSUB__RV_DISCOVER, .ns = ns_of(t), .limit = ASKED_FOR };
  if (!t->advertised && a->registered) {
    m = (msub__rv_message){ .type = MSUB__RV_UNREGISTER, .ns = ns_of(t) };
    if (!send(p, t, &m, now)) return false;
    a->registered = false;
    return true;
  }
  if (t->advertised && msub__passed(a->register_at, now)) {
    size_t n = r->record(r->record_ud, p->dialect, record, sizeof record);
    if (n > 0 && n <= sizeof record) {
      m = (msub__rv_message){ .type = MSUB__RV_REGISTER, .ns = ns_of(t), .record = { record, n }, .ttl = r->o.ttl_s };
      return send(p, t, &m, now);
    }
    a->register_at = msub__deadline(now, r->o.retry_ns);
  }
  if (!t->found || !msub__passed(a->find_at, now)) return true;
  if (a->cookie && msub__passed(a->anew_at, now)) forget_cookie(r, a);
  m.cookie = (msub_bytes){ a->cookie, a->cookie_n };
  return send(p, t, &m, now);
}

static uint64_t turn_point(point *p, uint64_t now) {
  msub_rendezvous *r = p->r;
  uint64_t next = MSUB_NEVER, soonest = MSUB_NEVER;
  topic *t = NULL;
  if (p->stream) return MSUB_NEVER; /* its end says more */
  for (size_t i = 0; i < r->n; i++) {
    uint64_t at = due_at(r->all[i], &r->all[i]->at[p - r->points]);
    if (at < soonest) soonest = at, t = r->all[i];
  }
  if (!t) return next;
  if (!msub__passed(p->not_before, now)) return soonest > p->not_before ? soonest : p->not_before;
  if (!msub__passed(soonest, now)) return soonest;
  if (!tend(p, t, now)) p->not_before = msub__deadline(now, r->o.retry_ns);
  if (p->stream) return MSUB_NEVER;
  return p->not_before > now ? p->not_before : now;
}

void msub_rendezvous_turn(msub_rendezvous *r) {
  if (!r->x.ops) return;
  uint64_t now = now_of(r), next = MSUB_NEVER;
  if (now < r->next) return;
  for (size_t i = 0; i < r->n;) {
    if (!is_over(r, r->all[i])) {
      i++;
      continue;
    }
    free_topic(r, r->all[i]);
    r->all[i] = r->all[--r->n];
  }
  for (size_t i = 0; i < r->o.n_points; i++) next = msub__sooner(next, turn_point(&r->points[i], now));
  r->next = next;
}

/* ---- a host that stops ---- */

static void leaving_flush(void *word, msub_stream *s) {
  leaving *l = word;
  const msub_exchange *x = &l->r->x;
  if (l->at == l->n) return;
  l->at += x->ops->write(x->x, s, (msub_bytes){ l->out + l->at, l->n - l->at });
  if (l->at == l->n) x->ops->finish(x->x, s);
}
static size_t leaving_data(void *word, msub_stream *s, msub_bytes b) {
  (void)word, (void)s;
  return b.n;
}
static void leaving_end(void *word, msub_stream *s, msub_end why) {
  leaving *l = word;
  msub_rendezvous *r = l->r;
  (void)s;
  *(is_said(why, l->at == l->n) ? &r->counts.unregistered : &r->counts.failed) += 1;
  r->n_leaving--;
  msub__free(&r->mem, l, sizeof *l + l->n);
}
static const msub_stream_handler leaver = { .abi = MSUB_ABI, .size = sizeof leaver, .on_data = leaving_data, .on_finish = on_finish, .on_writable = leaving_flush,
                                            .on_end = leaving_end };

/* Once: what fails ends with its time. */
static void leave(point *p, const topic *t, uint64_t now) {
  msub_rendezvous *r = p->r;
  const msub__rv_message m = { .type = MSUB__RV_UNREGISTER, .ns = ns_of(t) };
  size_t n = encode(&m, NULL);
  leaving *l = msub__alloc(&r->mem, sizeof *l + n);
  if (l) *l = (leaving){ .r = r, .n = n };
  if (!l || !open_stream(p, now, &leaver, l, &l->stream)) {
    msub__free(&r->mem, l, sizeof *l + n);
    r->counts.failed++;
    return;
  }
  (void)encode(&m, l->out);
  r->n_leaving++;
  leaving_flush(l, l->stream);
}

static bool wind_up(void *d) {
  msub_rendezvous *r = d;
  bool busy = false;
  if (!r->x.ops) return false;
  uint64_t now = now_of(r);
  for (size_t i = 0; i < r->o.n_points; i++) {
    point *p = &r->points[i];
    busy |= p->stream != NULL;
    for (size_t k = 0; k < r->n; k++) {
      topic *t = r->all[k];
      if (t->advertised || !t->at[i].registered || p->of == t) continue;
      t->at[i].registered = false;
      leave(p, t, now);
    }
  }
  return busy || r->n_leaving > 0;
}

static const msub_discovery_ops discovery_ops = { .abi = MSUB_ABI, .size = sizeof discovery_ops, .advertise = advertise, .find = seek, .cancel = cancel, .wind_up = wind_up };

uint64_t msub_rendezvous_next(const msub_rendezvous *r) { return r->x.ops ? r->next : MSUB_NEVER; }

/* ---- its life ---- */

void msub_rendezvous_opts_init(msub_rendezvous_opts *o) {
  *o = (msub_rendezvous_opts){ .size = sizeof *o, .prefix = "floodsub:", .ttl_s = 7200, .find_ns = 10 * MSUB__S, .retry_ns = MSUB__S, .max_topics = 256 };
}

int msub_rendezvous_new(const msub_rendezvous_opts *o, msub_rendezvous **out) {
  if (o->size != sizeof *o || !o->points || o->n_points < 1 || o->n_points > MSUB__RENDEZVOUS_POINTS || !o->prefix || strlen(o->prefix) > PREFIX_MAX ||
      o->ttl_s < 1 || o->ttl_s > 259200 || o->find_ns < MSUB__MS || o->retry_ns < MSUB__MS || o->max_topics < 1 || o->max_topics > 1000)
    return MSUB_ERR_INVAL;
  for (size_t i = 0; i < o->n_points; i++) {
    if (msub_peer_id_check(o->points[i]) != MSUB_OK) return MSUB_ERR_INVAL;
  }
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  msub_rendezvous *r = msub__zalloc(&mem, 1, sizeof *r);
  if (!r) return MSUB_ERR_NOMEM;
  r->mem = mem;
  r->o = *o;
  memcpy(r->prefix, o->prefix, strlen(o->prefix));
  for (size_t i = 0; i < o->n_points; i++) {
    r->points[i].r = r;
    r->points[i].dialect = MSUB_RECORD_RFC;
    r->points[i].id = msub_peer_id_of(o->points[i]);
  }
  *out = r;
  return MSUB_OK;
}

msub_discovery msub_rendezvous_discovery(msub_rendezvous *r) { return (msub_discovery){ &discovery_ops, r }; }

int msub_rendezvous_start(msub_rendezvous *r, msub_exchange x, msub_bytes self, size_t (*record)(void *ud, msub_record_dialect dialect, uint8_t *out, size_t cap),
                         void *ud) {
  if (r->x.ops) return MSUB_ERR_STATE;
  if (!x.ops || !record || msub_peer_id_check(self) != MSUB_OK) return MSUB_ERR_INVAL;
  r->x = x;
  r->self.n = (uint8_t)self.n;
  memcpy(r->self.bytes, self.p, self.n);
  r->record = record;
  r->record_ud = ud;
  return MSUB_OK;
}

void msub_rendezvous_count(const msub_rendezvous *r, msub_rendezvous_counts *out) { *out = r->counts; }

int msub_rendezvous_free(msub_rendezvous *r) {
  if (!r) return MSUB_OK;
  for (size_t i = 0; i < r->o.n_points; i++) {
    if (r->points[i].stream) return MSUB_ERR_STATE;
  }
  if (r->n_leaving > 0) return MSUB_ERR_STATE;
  msub_mem mem = r->mem;
  while (r->n > 0) free_topic(r, r->all[--r->n]);
  msub__free(&mem, r->all, r->cap * sizeof *r->all);
  msub__free(&mem, r, sizeof *r);
  return MSUB_OK;
}
