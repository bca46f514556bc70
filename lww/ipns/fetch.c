/* lww/ipns/fetch.c: one request and one answer a stream, each behind its length.
 *
 *   call   our request: text out, answer in           ring of calls ◀── msub_fetch ──▶ ring of visits
 *   visit  a peer's request: in, answer out
 *
 * Both are a talk: bytes that came so far, bytes that still have to go. */
#include "meshsub/fetch.h"
#include "meshsub/pb.h"
#include "base/deadline.h"
#include "base/mem.h"
#include <string.h>

enum { IDENTIFIER = 1 };            /* of a request */
enum { STATUS = 1, DATA = 2 };      /* of an answer */
enum { S_OK = 0, S_NOT_FOUND = 1 }; /* others are errors */

typedef struct bytes { uint8_t *p; size_t n, cap; } bytes;
typedef struct talk {
  struct talk *next, **at; /* in its ring */
  msub_fetch *f;
  msub_stream *s;
  bytes in, out;
  size_t sent;
  bool over; /* what had to be said is said */
  /* of a call */
  msub_fetch_done done;
  void *ud;
  uint64_t token;
  /* of a visit */
  bytes peer;
} talk;

/* until: when all that the peer had would be paid off at the rate. */
typedef struct rated { uint64_t until; bytes peer; } rated;
#define BURST ((uint64_t)16 << 20)
#define PER_S ((uint64_t)256 << 10)
#define BURST_MAX ((uint64_t)8 << 30)
#define PER_S_MAX ((uint64_t)1 << 40)

typedef struct served { bytes prefix; msub_fetch_lookup lookup; void *ud; } served;
struct msub_fetch {
  msub_mem mem;
  msub_exchange x;
  talk *calls, *visits;
  served prefixes[MSUB_FETCH_PREFIXES];
  uint64_t last_token;
  bool closing; /* freed with its last talk */
  uint64_t burst_ns, per_s; /* burst_ns 0: no limit */
  rated *rates;
  size_t n_rates, rates_cap;
  msub_fetch_counts count;
};

/* ---- talks ---- */

static bool grow(msub_fetch *f, bytes *b, size_t n) {
  if (n <= b->cap) return true;
  size_t cap = b->cap * 2 > n ? b->cap * 2 : n;
  uint8_t *p = msub__realloc(&f->mem, b->p, b->cap, cap);
  if (!p) return false;
  b->p = p;
  b->cap = cap;
  return true;
}
static bool append(msub_fetch *f, bytes *b, msub_bytes more) {
  if (!grow(f, b, b->n + more.n)) return false;
  if (more.n) memcpy(b->p + b->n, more.p, more.n);
  b->n += more.n;
  return true;
}
static void drop(msub_fetch *f, bytes *b) {
  msub__free(&f->mem, b->p, b->cap);
  *b = (bytes){ 0 };
}

static talk *talk_new(msub_fetch *f, talk **ring) {
  talk *t = msub__zalloc(&f->mem, 1, sizeof *t);
  if (!t) return NULL;
  t->f = f;
  t->next = *ring;
  t->at = ring;
  if (t->next) t->next->at = &t->next;
  *ring = t;
  return t;
}
static void talk_free(talk *t) {
  msub_fetch *f = t->f;
  *t->at = t->next;
  if (t->next) t->next->at = t->at;
  drop(f, &t->in);
  drop(f, &t->out);
  drop(f, &t->peer);
  msub__free(&f->mem, t, sizeof *t);
}

static void gone(msub_fetch *f) {
  msub_mem m = f->mem;
  if (!f->closing || f->calls || f->visits) return;
  for (size_t i = 0; i < MSUB_FETCH_PREFIXES; i++) drop(f, &f->prefixes[i].prefix);
  while (f->n_rates > 0) drop(f, &f->rates[--f->n_rates].peer);
  msub__free(&m, f->rates, f->rates_cap * sizeof *f->rates);
  msub__free(&m, f, sizeof *f);
}

static void say(talk *t) {
  msub_exchange x = t->f->x;
  t->sent += x.ops->write(x.x, t->s, (msub_bytes){ t->out.p + t->sent, t->out.n - t->sent });
  if (t->sent < t->out.n || t->over) return;
  t->over = true;
  x.ops->finish(x.x, t->s);
}

/* Takes bytes until the message is whole. 1: it is, *body; 0: not yet; < 0: it never will be, or (NOMEM). */
static int hear(talk *t, msub_bytes b, size_t most, msub_bytes *body) {
  uint64_t n = 0;
  if (t->in.n + b.n > most + 10 || !append(t->f, &t->in, b)) return -1;
  msub_bytes all = { t->in.p, t->in.n };
  int head = msub_varint_get(all, &n);
  if (head < 0) return -1;
  if (head == 0) return all.n < 10 ? 0 : -1;
  if (n > most || all.n - (size_t)head > n) return -1;
  *body = (msub_bytes){ all.p + head, all.n - (size_t)head };
  return body->n == n;
}

/* Length, then the fields that are there. status 0 is left out, as proto3 does. */
static bool write_message(msub_fetch *f, bytes *out, uint64_t status, unsigned field, msub_bytes data) {
  uint8_t head[10], fields[2 + 1 + 10];
  size_t n = 0;
  if (status) {
    fields[n++] = STATUS << 3;
    fields[n++] = (uint8_t)status;
  }
  if (data.n) {
    fields[n++] = (uint8_t)(field << 3 | 2);
    n += msub_varint_put(fields + n, data.n);
  }
  size_t h = msub_varint_put(head, n + data.n);
  return grow(f, out, h + n + data.n) && append(f, out, (msub_bytes){ head, h }) && append(f, out, (msub_bytes){ fields, n }) && append(f, out, data);
}

/* ---- asking ---- */

static void tell(talk *t, int result, msub_bytes value) {
  msub_fetch *f = t->f;
  msub_fetch_done done = t->done;
  t->done = NULL;
  if (!done) return;
  if (result == MSUB_OK) f->count.got++;
  else if (result == MSUB_ERR_NOTFOUND) f->count.not_found++;
  else f->count.failed++;
  done(t->ud, result, value);
}

static int read_answer(msub_bytes in, msub_bytes *value) {
  uint64_t status = S_OK;
  *value = (msub_bytes){ NULL, 0 };
  while (in.n) {
    msub_pb_field f;
    if (!msub_pb_next(&in, &f)) return MSUB_ERR_MALFORMED;
    if (f.number == STATUS && !f.bytes.p) status = f.varint;
    if (f.number == DATA && f.is_bytes) *value = f.bytes;
  }
  return status == S_OK ? MSUB_OK : status == S_NOT_FOUND ? MSUB_ERR_NOTFOUND : MSUB_ERR_REFUSED;
}

/* The outcome is told when the stream ends: done() may then do as it likes, and a peer that says more is noticed. */
static size_t call_data(void *word, msub_stream *s, msub_bytes b) {
  talk *t = word;
  msub_bytes body;
  if (t->done && hear(t, b, MSUB_FETCH_VALUE_MAX, &body) < 0) {
    msub_exchange x = t->f->x;
    tell(t, MSUB_ERR_MALFORMED, (msub_bytes){ NULL, 0 });
    x.ops->reset(x.x, s);
  }
  return b.n;
}

static void answered(talk *t, int otherwise) {
  msub_bytes body = { NULL, 0 }, value = { NULL, 0 };
  int result = otherwise;
  if (hear(t, body, MSUB_FETCH_VALUE_MAX, &body) == 1) result = read_answer(body, &value);
  tell(t, result, result == MSUB_OK ? value : (msub_bytes){ NULL, 0 });
}

static void call_finish(void *word, msub_stream *s) {
  (void)s;
  answered(word, MSUB_ERR_MALFORMED);
}
static void call_writable(void *word, msub_stream *s) {
  (void)s;
  say(word);
}
/* An answer that is whole counts however its stream ends. */
static void call_end(void *word, msub_stream *s, msub_end why) {
  talk *t = word;
  msub_fetch *f = t->f;
  (void)s;
  answered(t, why == MSUB_END_UNSUPPORTED ? MSUB_ERR_UNSUPPORTED : why == MSUB_END_DEADLINE ? MSUB_ERR_TIMEOUT : MSUB_ERR_CLOSED);
  talk_free(t);
  gone(f);
}
static const msub_stream_handler caller = { .abi = MSUB_ABI, .size = sizeof(msub_stream_handler), .on_data = call_data, .on_finish = call_finish,
                                            .on_writable = call_writable, .on_end = call_end };

int msub_fetch_get(msub_fetch *f, msub_bytes peer_id, msub_bytes key, uint64_t deadline, msub_fetch_done done, void *ud, msub_token *token) {
  if (key.n == 0 || key.n > MSUB_FETCH_KEY_MAX) return MSUB_ERR_INVAL;
  talk *t = talk_new(f, &f->calls);
  if (!t) return MSUB_ERR_NOMEM;
  int rc = write_message(f, &t->out, S_OK, IDENTIFIER, key) ? f->x.ops->open(f->x.x, peer_id, MSUB_FETCH_PROTOCOL, deadline, &caller, t, &t->s) : MSUB_ERR_NOMEM;
  if (rc != MSUB_OK) {
    talk_free(t);
    return rc;
  }
  t->done = done;
  t->ud = ud;
  t->token = ++f->last_token;
  if (token) token->v = t->token;
  f->count.asked++;
  say(t);
  return MSUB_OK;
}

void msub_fetch_cancel(msub_fetch *f, msub_token token) {
  for (talk *t = f->calls; t; t = t->next) {
    if (t->token != token.v || !t->done) continue;
    t->done = NULL;
    f->x.ops->reset(f->x.x, t->s);
    return;
  }
}

/* ---- serving ---- */

static const served *longest(const msub_fetch *f, msub_bytes key) {
  const served *best = NULL;
  for (size_t i = 0; i < MSUB_FETCH_PREFIXES; i++) {
    const served *p = &f->prefixes[i];
    if (!p->lookup || p->prefix.n > key.n || (p->prefix.n && memcmp(p->prefix.p, key.p, p->prefix.n) != 0)) continue;
    if (!best || p->prefix.n > best->prefix.n) best = p;
  }
  return best;
}

/* What the request names; false: nothing, or too much. */
static bool read_request(msub_bytes in, msub_bytes *key) {
  *key = (msub_bytes){ NULL, 0 };
  while (in.n) {
    msub_pb_field f;
    if (!msub_pb_next(&in, &f)) return false;
    if (f.number == IDENTIFIER && f.is_bytes) *key = f.bytes;
  }
  return key->n > 0 && key->n <= MSUB_FETCH_KEY_MAX;
}

/* ---- how much ---- */

static rated *rate_of(msub_fetch *f, msub_bytes peer) {
  for (size_t i = 0; i < f->n_rates; i++)
    if (msub_bytes_eq((msub_bytes){ f->rates[i].peer.p, f->rates[i].peer.n }, peer)) return &f->rates[i];
  return NULL;
}

/* Room for one more: of those who have paid everything off, or of the table; else of whoever is the nearest to it. NULL: no memory. */
static rated *rate_room(msub_fetch *f, uint64_t now) {
  rated *least = NULL;
  for (size_t i = 0; i < f->n_rates;) {
    rated *r = &f->rates[i];
    if (r->until <= now) {
      drop(f, &r->peer);
      *r = f->rates[--f->n_rates];
      continue;
    }
    if (!least || r->until < least->until) least = r;
    i++;
  }
  if (f->n_rates == MSUB_FETCH_RATED) {
    drop(f, &least->peer);
    *least = f->rates[--f->n_rates];
  }
  if (f->n_rates == f->rates_cap) {
    size_t cap = f->rates_cap ? f->rates_cap * 2 : 8;
    rated *more = msub__realloc(&f->mem, f->rates, f->rates_cap * sizeof *more, cap * sizeof *more);
    if (!more) return NULL;
    f->rates = more;
    f->rates_cap = cap;
  }
  return &f->rates[f->n_rates];
}

/* Has it had all that it may have now? */
static bool had_enough(msub_fetch *f, msub_bytes peer) {
  const rated *r = f->burst_ns ? rate_of(f, peer) : NULL;
  uint64_t now = r ? f->x.ops->now(f->x.x) : 0;
  return r && r->until > now && r->until - now >= f->burst_ns;
}

/* false: no memory. */
static bool charge(msub_fetch *f, msub_bytes peer, size_t n) {
  if (!f->burst_ns) return true;
  uint64_t now = f->x.ops->now(f->x.x), cost = n * MSUB__S / f->per_s;
  rated *r = rate_of(f, peer);
  if (!r) {
    if (!(r = rate_room(f, now))) return false;
    *r = (rated){ .until = now };
    if (!append(f, &r->peer, peer)) return false;
    f->n_rates++;
  }
  r->until = msub__deadline(r->until > now ? r->until : now, cost);
  return true;
}

int msub_fetch_limit(msub_fetch *f, uint64_t burst, uint64_t bytes_per_s) {
  if (burst > BURST_MAX || bytes_per_s == 0 || bytes_per_s > PER_S_MAX) return MSUB_ERR_INVAL;
  f->burst_ns = burst * MSUB__S / bytes_per_s;
  if (burst > 0 && f->burst_ns == 0) f->burst_ns = 1;
  f->per_s = bytes_per_s;
  return MSUB_OK;
}

static bool answer(talk *t, msub_bytes key) {
  msub_fetch *f = t->f;
  msub_bytes peer = { t->peer.p, t->peer.n };
  if (had_enough(f, peer)) {
    f->count.served_limited++;
    return write_message(f, &t->out, 2, DATA, (msub_bytes){ NULL, 0 }) && charge(f, peer, t->in.n + t->out.n);
  }
  const served *p = longest(f, key);
  msub_bytes value = { NULL, 0 };
  int rc = p ? p->lookup(p->ud, peer, key, &value) : MSUB_ERR_NOTFOUND;
  if (rc == MSUB_OK && value.n > MSUB_FETCH_VALUE_MAX - 16) rc = MSUB_ERR_LIMIT;
  if (rc == MSUB_OK) f->count.served++;
  else if (rc == MSUB_ERR_NOTFOUND) f->count.served_not_found++;
  else f->count.served_errors++;
  uint64_t status = rc == MSUB_OK ? S_OK : rc == MSUB_ERR_NOTFOUND ? S_NOT_FOUND : 2;
  return write_message(f, &t->out, status, DATA, rc == MSUB_OK ? value : (msub_bytes){ NULL, 0 }) && charge(f, peer, t->in.n + t->out.n);
}

static void *visit_open(void *ud, msub_stream *s, msub_bytes peer_id) {
  msub_fetch *f = ud;
  talk *t = talk_new(f, &f->visits);
  if (!t) return NULL;
  t->s = s;
  if (!append(f, &t->peer, peer_id)) {
    talk_free(t);
    return NULL;
  }
  f->x.ops->deadline(f->x.x, s, f->x.ops->now(f->x.x) + MSUB_FETCH_SERVE_NS);
  return t;
}

static size_t visit_data(void *word, msub_stream *s, msub_bytes b) {
  talk *t = word;
  msub_fetch *f = t->f;
  msub_bytes body, key;
  int whole = t->out.n ? -1 : hear(t, b, MSUB_FETCH_KEY_MAX + 16, &body); /* a second request: there is one a stream */
  if (whole == 0) return b.n;
  if (whole < 0 || !read_request(body, &key) || !answer(t, key)) {
    f->count.malformed += !t->over;
    t->over = true;
    f->x.ops->reset(f->x.x, s);
    return b.n;
  }
  say(t);
  return b.n;
}
static void visit_finish(void *word, msub_stream *s) {
  talk *t = word;
  if (t->out.n || t->over) return; /* the answer is on its way */
  t->f->count.malformed++;
  t->over = true;
  t->f->x.ops->reset(t->f->x.x, s);
}
static void visit_writable(void *word, msub_stream *s) {
  (void)s;
  say(word);
}
static void visit_end(void *word, msub_stream *s, msub_end why) {
  talk *t = word;
  msub_fetch *f = t->f;
  (void)s, (void)why;
  talk_free(t);
  gone(f);
}
static const msub_stream_handler visitor = { .abi = MSUB_ABI, .size = sizeof(msub_stream_handler), .on_open = visit_open, .on_data = visit_data,
                                             .on_finish = visit_finish, .on_writable = visit_writable, .on_end = visit_end };

int msub_fetch_serve(msub_fetch *f, msub_bytes prefix, msub_fetch_lookup lookup, void *ud) {
  served *at = NULL;
  if (prefix.n > MSUB_FETCH_KEY_MAX) return MSUB_ERR_INVAL;
  for (size_t i = 0; i < MSUB_FETCH_PREFIXES; i++) {
    served *p = &f->prefixes[i];
    if (p->lookup && msub_bytes_eq((msub_bytes){ p->prefix.p, p->prefix.n }, prefix)) {
      at = p;
      break;
    }
    if (!p->lookup && !at) at = p;
  }
  if (!lookup) {
    if (at && at->lookup) drop(f, &at->prefix);
    if (at) *at = (served){ 0 };
    return MSUB_OK;
  }
  if (!at) return MSUB_ERR_LIMIT;
  if (!at->lookup && !append(f, &at->prefix, prefix)) return MSUB_ERR_NOMEM;
  at->lookup = lookup;
  at->ud = ud;
  return MSUB_OK;
}

/* ---- the whole ---- */

int msub_fetch_new(const msub_mem *mem, msub_exchange x, msub_fetch **out) {
  msub_mem m = mem ? *mem : msub__mem_default();
  msub_fetch *f = msub__zalloc(&m, 1, sizeof *f);
  if (!f) return MSUB_ERR_NOMEM;
  f->mem = m;
  f->x = x;
  (void)msub_fetch_limit(f, BURST, PER_S);
  int rc = x.ops->serve(x.x, MSUB_FETCH_PROTOCOL, &visitor, f);
  if (rc != MSUB_OK) {
    msub__free(&m, f, sizeof *f);
    return rc;
  }
  *out = f;
  return MSUB_OK;
}

/* The ends of the streams come in later turns. */
void msub_fetch_free(msub_fetch *f) {
  if (!f) return;
  msub_exchange x = f->x;
  (void)x.ops->serve(x.x, MSUB_FETCH_PROTOCOL, NULL, NULL);
  f->closing = true;
  for (talk *t = f->calls; t; t = t->next) {
    t->done = NULL;
    x.ops->reset(x.x, t->s);
  }
  for (talk *t = f->visits; t; t = t->next) {
    t->over = true;
    x.ops->reset(x.x, t->s);
  }
  gone(f);
}

const msub_fetch_counts *msub_fetch_count(const msub_fetch *f) { return &f->count; }
