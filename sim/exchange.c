/* sim/exchange.c: byte streams between connected nodes (meshsub/exchange.h).
 *
 *   write ─▶ out ─▶ segments ─▶ latency, bandwidth ─▶ in ─▶ on_data
 *               ◀── credit: the receiver grants what it has taken ──
 *
 * A stream has a number of its opener; both ends find it by (peer, number, whose). Nothing of it is lost: a segment
 * that the link would lose comes later, and what follows waits for it. */
#include "sim/sim.h"
#include <string.h>

typedef struct msub__sim_service {
  msub__rc *name;
  const msub_stream_handler *h;
  void *ud;
} msub__sim_service;

struct msub_stream {
  msub__sim_node *n;
  uint32_t peer, id, slot;
  bool mine;              /* we opened it */
  bool live;              /* its handler knows it, or it is ours */
  bool waiting;           /* ours: for its turn; the peer's: to be served */
  bool ending, told;      /* on_end is due; was called */
  bool finished, fin_sent, fin_in, fin_told;
  bool paused, feeding, again, feed_due, want_write, writable_due; /* again: want_read() from inside on_data */
  msub_end why;
  const msub_stream_handler *h;
  void *word, *ud;        /* ud: of the service, until it is served */
  msub__rc *name;
  uint64_t deadline, last; /* last: when what was sent last arrives */
  msub__buf in, out;
  size_t credit, taken;   /* that we may send; that we have not granted anew */
};

typedef struct msub__sim_x {
  msub__sim_service services[MSUB__SIM_SERVICES];
  size_t n_services;
  struct { msub_stream *s; uint32_t gen; } *slots;
  uint32_t n, cap;
  uint32_t live;
  uint32_t ids;
  msub__table table;
} msub__sim_x;

/* ---- finding ---- */

typedef struct key { uint32_t peer, id; bool mine; } key;
static uint64_t hash_of(key k) {
  return msub__sim_mix((uint64_t)k.peer << 32 | k.id) + (k.mine ? UINT64_C(1) << 63 : 0);
}
static bool same(const void *ctx, uint32_t slot, const void *p) {
  const msub_stream *s = ((const msub__sim_x *)ctx)->slots[slot].s;
  const key *k = p;
  return s->peer == k->peer && s->id == k->id && s->mine == k->mine;
}
static msub_stream *find(const msub__sim_node *n, uint32_t peer, uint32_t id, bool mine) {
  key k = { peer, id, mine };
  uint32_t slot = n->x ? msub__table_find(&n->x->table, hash_of(k), same, n->x, &k) : MSUB__NONE;
  return slot == MSUB__NONE ? NULL : n->x->slots[slot].s;
}

static msub__sim_x *x_of(msub__sim_node *n) {
  if (!n->x) n->x = msub__zalloc(&n->sim->mem, 1, sizeof *n->x);
  return n->x;
}

static uint64_t word_of(const msub_stream *s) { return (uint64_t)s->slot << 32 | s->n->x->slots[s->slot].gen; }
static msub_stream *by_word(const msub__sim_node *n, uint64_t w) {
  uint32_t slot = (uint32_t)(w >> 32);
  return n->x && slot < n->x->n && n->x->slots[slot].gen == (uint32_t)w ? n->x->slots[slot].s : NULL;
}

/* ---- life ---- */

static msub_stream *stream_new(msub__sim_node *n, uint32_t peer, uint32_t id, bool mine, msub_bytes name) {
  msub_sim *s = n->sim;
  msub__sim_x *x = x_of(n);
  bool room = x && msub__table_reserve(&x->table, &s->mem) == MSUB_OK;
  msub_stream *st = room ? msub__zalloc(&s->mem, 1, sizeof *st) : NULL;
  if (!st) return NULL;
  uint32_t slot = 0;
  while (slot < x->n && x->slots[slot].s) slot++;
  if (slot == x->cap) {
    uint32_t cap = x->cap ? x->cap * 2 : 4;
    void *p = msub__realloc(&s->mem, x->slots, x->cap * sizeof *x->slots, cap * sizeof *x->slots);
    if (p) {
      x->slots = p;
      memset(x->slots + x->cap, 0, (cap - x->cap) * sizeof *x->slots);
      x->cap = cap;
    }
  }
  st->name = slot < x->cap ? msub__rc_new(&s->mem, name) : NULL;
  if (!st->name) {
    msub__free(&s->mem, st, sizeof *st);
    return NULL;
  }
  st->n = n;
  st->peer = peer;
  st->id = id;
  st->mine = mine;
  st->slot = slot;
  st->credit = MSUB__SIM_WINDOW;
  if (slot == x->n) x->n++;
  x->slots[slot].s = st;
  x->slots[slot].gen++;
  x->live++;
  int err = msub__table_insert(&x->table, &s->mem, hash_of((key){ peer, id, mine }), slot);
  MSUB__INVARIANT(err == MSUB_OK); /* there was room */
  s->counts.streams += mine;
  return st;
}

static void stream_free(msub_stream *st) {
  msub__sim_node *n = st->n;
  const msub_mem *m = &n->sim->mem;
  msub__table_remove(&n->x->table, hash_of((key){ st->peer, st->id, st->mine }), st->slot);
  n->x->slots[st->slot].s = NULL;
  n->x->slots[st->slot].gen++;
  n->x->live--;
  if (st->mine && st->why != MSUB_END_FINISHED) n->sim->counts.streams_unfinished++;
  msub__rc_drop(m, st->name);
  msub__buf_fini(&st->in, m);
  msub__buf_fini(&st->out, m);
  msub__free(m, st, sizeof *st);
}

/* From here on nothing is called but on_end, in an event of its own. */
static void end(msub_stream *st, msub_end why) {
  if (st->ending) return;
  st->ending = true;
  st->why = why;
  msub__sim_self(st->n, st->n->sim->now.mono_ns, MSUB__SIM_X_END, word_of(st));
}

/* ---- sending ---- */

static uint64_t delay(msub__sim_node *n, uint32_t peer) {
  msub_sim_link l = msub__sim_link(n, peer);
  uint64_t ns = msub__sim_latency(n, &l), more = msub__sat_mul_u64(l.latency_ns, 2);
  if (more < MSUB__SIM_RETRANSMIT_NS) more = MSUB__SIM_RETRANSMIT_NS;
  for (unsigned i = 0; l.loss_ppm && i < MSUB__SIM_RESENDS; i++) {
    if (msub__sim_below(n->sim, n, MSUB__SIM_RNG_LINK, 1000000) >= l.loss_ppm) break;
    ns = msub__sat_add_u64(ns, more);
  }
  return ns;
}

/* A packet of the stream: of `bytes` (or NULL) or a word. false: the connection is gone, or no memory. */
static bool tell(msub_stream *st, msub__sim_kind k, msub__rc *bytes, uint64_t word, bool fin, uint64_t later) {
  msub__sim_node *n = st->n;
  msub_sim *s = n->sim;
  const msub__sim_half *h = msub__sim_half_to(n, st->peer, true);
  msub__sim_packet *p = h ? msub__sim_packet_new(s) : NULL;
  if (!p) {
    msub__rc_drop(&s->mem, bytes);
    if (h) msub__sim_nomem(s);
    return false;
  }
  msub__sim_address(n, h, p);
  p->n = st->id;
  p->flags |= (uint8_t)((st->mine ? MSUB__SIM_OPENER : 0) | (bytes ? MSUB__SIM_BYTES : 0) | (fin ? MSUB__SIM_FIN : 0));
  p->wire = (uint32_t)(MSUB__SIM_SEGMENT_HEAD + (bytes ? bytes->n : 0));
  if (bytes) p->u.bytes = bytes;
  else p->u.word = word;
  uint64_t at = msub__deadline(s->now.mono_ns, msub__sat_add_u64(delay(n, st->peer), later));
  if (at < st->last) at = st->last;
  st->last = at;
  if (msub__sim_push(s, at, n->no, st->peer, k, (uint64_t)(uintptr_t)p)) return true;
  msub__sim_packet_free(s, p);
  return false;
}

/* One segment, or the end alone. The bytes on the wire. */
static size_t send_segment(msub_stream *st) {
  msub__sim_node *n = st->n;
  msub_bytes b = msub__buf_unread(&st->out);
  if (b.n > st->credit) b.n = st->credit;
  if (b.n > MSUB__SIM_SEGMENT) b.n = MSUB__SIM_SEGMENT;
  msub__rc *bytes = b.n ? msub__rc_new(&n->sim->mem, b) : NULL;
  if (b.n && !bytes) {
    msub__sim_nomem(n->sim);
    return 0;
  }
  bool fin = st->finished && b.n == msub__buf_len(&st->out);
  size_t size = MSUB__SIM_SEGMENT_HEAD + b.n;
  uint64_t up = n->c->o.up_bytes_s;
  tell(st, MSUB__SIM_X_DATA, bytes, 0, fin, up ? msub__sim_wire_ns(size, up) : 0);
  msub__buf_consume(&st->out, b.n);
  st->credit -= b.n;
  st->fin_sent = fin;
  n->traffic.bytes_out += size;
  return size;
}

static bool has_segment(const msub_stream *st) {
  if (st->ending || st->waiting || st->fin_sent) return false;
  return msub__buf_len(&st->out) ? st->credit > 0 : st->finished;
}

static void check_done(msub_stream *st) {
  if (st->fin_told && st->fin_sent) end(st, MSUB_END_FINISHED);
}

static void room_made(msub_stream *st) {
  if (!st->want_write || st->writable_due || msub__buf_len(&st->out) >= MSUB__SIM_WINDOW) return;
  st->writable_due = msub__sim_self(st->n, st->n->sim->now.mono_ns, MSUB__SIM_X_WRITABLE, word_of(st));
}

/* Sends what may be sent: at once, or through the uplink. */
static void kick(msub_stream *st) {
  msub__sim_node *n = st->n;
  if (!has_segment(st)) return;
  if (n->c->o.up_bytes_s) {
    msub__sim_half *h = msub__sim_half_to(n, st->peer, true);
    if (h) msub__sim_up_wants(n, h);
    return;
  }
  while (has_segment(st) && send_segment(st)) {}
  room_made(st);
  check_done(st);
}

bool msub__sim_x_wants(msub__sim_node *n, const msub__sim_half *h) {
  for (uint32_t i = 0; n->x && n->x->live && i < n->x->n; i++) {
    const msub_stream *st = n->x->slots[i].s;
    if (st && st->peer == h->peer && has_segment(st)) return true;
  }
  return false;
}

size_t msub__sim_x_send(msub__sim_node *n, msub__sim_half *h) {
  for (uint32_t i = 1; i <= n->x->n; i++) {
    uint32_t slot = (h->aux->x_last + i) % n->x->n;
    msub_stream *st = n->x->slots[slot].s;
    if (!st || st->peer != h->peer || !has_segment(st)) continue;
    h->aux->x_last = slot;
    size_t size = send_segment(st);
    room_made(st);
    check_done(st);
    return size;
  }
  return 0;
}

/* ---- turns: so many of a protocol are served, and opened, at a time ---- */

static size_t count(const msub__sim_node *n, const msub_stream *like, bool waiting) {
  size_t sum = 0;
  for (uint32_t i = 0; i < n->x->n; i++) {
    const msub_stream *st = n->x->slots[i].s;
    if (st && st->peer == like->peer && st->mine == like->mine && st->waiting == waiting && !st->ending && st != like &&
        msub_bytes_eq((msub_bytes){ st->name->bytes, st->name->n }, (msub_bytes){ like->name->bytes, like->name->n }))
      sum++;
  }
  return sum;
}

static void set_deadline(msub_stream *st, uint64_t at) {
  if (st->deadline && at >= st->deadline) return; /* closer only */
  st->deadline = at;
  msub__sim_self(st->n, at, MSUB__SIM_X_DEADLINE, word_of(st));
}

static void feed(msub_stream *st);

static void begin(msub_stream *st) {
  st->waiting = false;
  if (st->mine) {
    tell(st, MSUB__SIM_X_OPEN, msub__rc_hold(st->name), 0, false, 0);
    kick(st);
    return;
  }
  msub__sim_node *n = st->n;
  uint8_t id[64];
  msub__sim_call(n);
  st->word = st->h->on_open(st->ud, st, msub__sim_id(msub__sim_node_at(n->sim, st->peer), id));
  msub__sim_back(n);
  if (!st->word) {
    tell(st, MSUB__SIM_X_RESET, NULL, MSUB_END_RESET, false, 0);
    end(st, MSUB_END_CANCELLED);
    return;
  }
  st->live = true;
  feed(st);
}

/* The oldest stream that waits for a place like this one's. */
static void next_turn(msub__sim_node *n, const msub_stream *gone) {
  for (;;) {
    msub_stream *best = NULL;
    if (count(n, gone, false) >= MSUB__SIM_AT_ONCE) return;
    for (uint32_t i = 0; i < n->x->n; i++) {
      msub_stream *st = n->x->slots[i].s;
      if (st && st != gone && st->peer == gone->peer && st->mine == gone->mine && st->waiting && !st->ending &&
          msub_bytes_eq((msub_bytes){ st->name->bytes, st->name->n },
                        (msub_bytes){ gone->name->bytes, gone->name->n }) &&
          (!best || (int32_t)(st->id - best->id) < 0))
        best = st;
    }
    if (!best) return;
    begin(best);
  }
}

static void tell_end(msub_stream *st) {
  msub__sim_node *n = st->n;
  if (!st->told && st->live) {
    st->told = true;
    msub__sim_call(n);
    st->h->on_end(st->word, st, st->why);
    msub__sim_back(n);
  }
}

static void ended(msub_stream *st) {
  msub__sim_node *n = st->n;
  bool held = !st->waiting;
  tell_end(st);
  if (held) {
    st->ending = true;
    next_turn(n, st);
  }
  stream_free(st);
}

/* ---- receiving ---- */

static void finish(void *x, msub_stream *st);
static void want_read(void *x, msub_stream *st);

static void feed(msub_stream *st) {
  msub__sim_node *n = st->n;
  if (!st->live || st->feeding) return;
  while (!st->ending && !st->paused && !st->feed_due && msub__buf_len(&st->in)) {
    msub_bytes b = msub__buf_unread(&st->in);
    st->feeding = true;
    st->again = false;
    msub__sim_call(n);
    size_t took = st->h->on_data(st->word, st, b);
    msub__sim_back(n);
    st->feeding = false;
    if (took > b.n) took = b.n;
    if (st->ending) return;
    msub__buf_consume(&st->in, took);
    st->taken += took;
    st->paused = took < b.n;
    if (st->paused && st->again) want_read(n, st);
  }
  if (st->ending) return;
  if (st->taken >= MSUB__SIM_WINDOW / 2) {
    tell(st, MSUB__SIM_X_WINDOW, NULL, st->taken, false, 0);
    st->taken = 0;
  }
  if (!st->fin_in || st->fin_told || msub__buf_len(&st->in)) return;
  st->fin_told = true;
  if (st->h->on_finish) {
    msub__sim_call(n);
    st->h->on_finish(st->word, st);
    msub__sim_back(n);
  } else {
    finish(n, st);
  }
  if (!st->ending) check_done(st);
}

static void refuse(msub__sim_node *n, const msub__sim_packet *p, msub__sim_kind k, uint64_t why) {
  msub_sim *s = n->sim;
  msub__sim_half *h = msub__sim_half_to(n, p->from, true);
  msub__sim_packet *r = h ? msub__sim_packet_new(s) : NULL;
  if (!r) return;
  r->n = p->n;
  r->u.word = why;
  msub__sim_tell(n, h, k, r, 0);
}

static void opened(msub__sim_node *n, const msub__sim_packet *p) {
  msub_bytes name = { p->u.bytes->bytes, p->u.bytes->n };
  const msub__sim_service *service = NULL;
  for (size_t i = 0; n->x && i < n->x->n_services; i++)
    if (msub_bytes_eq((msub_bytes){ n->x->services[i].name->bytes, n->x->services[i].name->n }, name))
      service = &n->x->services[i];
  if (!service) {
    refuse(n, p, MSUB__SIM_X_NA, 0);
    return;
  }
  size_t open = 0;
  for (uint32_t i = 0; i < n->x->n; i++)
    open += n->x->slots[i].s && n->x->slots[i].s->peer == p->from && !n->x->slots[i].s->mine;
  msub_stream *st = open < MSUB__SIM_CONN_STREAMS ? stream_new(n, p->from, p->n, false, name) : NULL;
  if (!st) {
    refuse(n, p, MSUB__SIM_X_RESET, MSUB_END_RESET);
    return;
  }
  st->h = service->h;
  st->ud = service->ud;
  st->waiting = true;
  set_deadline(st, msub__deadline(n->sim->now.mono_ns, MSUB__SIM_STREAM_NS));
  if (count(n, st, false) < MSUB__SIM_AT_ONCE && count(n, st, true) == 0) begin(st);
}

static void data(msub__sim_node *n, const msub__sim_packet *p) {
  msub_stream *st = find(n, p->from, p->n, !(p->flags & MSUB__SIM_OPENER));
  size_t size = p->flags & MSUB__SIM_BYTES ? p->u.bytes->n : 0;
  n->traffic.bytes_in += p->wire;
  if (!st || st->ending) return;
  if (size && msub__buf_append(&st->in, &n->sim->mem, (msub_bytes){ p->u.bytes->bytes, size }) != MSUB_OK) {
    tell(st, MSUB__SIM_X_RESET, NULL, MSUB_END_RESET, false, 0);
    end(st, MSUB_END_RESET);
    return;
  }
  if (p->flags & MSUB__SIM_FIN) st->fin_in = true;
  feed(st);
}

static void event_of_stream(msub_stream *st, msub__sim_kind k) {
  msub__sim_node *n = st->n;
  if (k == MSUB__SIM_X_END) {
    ended(st);
    return;
  }
  if (k == MSUB__SIM_X_FEED) st->feed_due = false;
  if (k == MSUB__SIM_X_WRITABLE) st->writable_due = false;
  if (st->ending) return;
  if (k == MSUB__SIM_X_FEED) {
    feed(st);
  } else if (k == MSUB__SIM_X_WRITABLE) {
    st->want_write = false;
    if (!st->h->on_writable) return;
    msub__sim_call(n);
    st->h->on_writable(st->word, st);
    msub__sim_back(n);
  } else if (st->deadline <= n->sim->now.mono_ns) {
    if (!st->waiting || !st->mine) tell(st, MSUB__SIM_X_RESET, NULL, MSUB_END_RESET, false, 0);
    end(st, MSUB_END_DEADLINE);
  }
}

void msub__sim_x_event(msub__sim_node *n, uint32_t from, msub__sim_kind k, uint64_t arg) {
  (void)from;
  if (k >= MSUB__SIM_X_FEED) {
    msub_stream *st = by_word(n, arg);
    if (st) event_of_stream(st, k);
    return;
  }
  msub_sim *s = n->sim;
  msub__sim_packet *p = (msub__sim_packet *)(uintptr_t)arg;
  if (n->up && msub__sim_half_of(n, p, false)) {
    msub_stream *st = find(n, p->from, p->n, !(p->flags & MSUB__SIM_OPENER));
    switch (k) {
    case MSUB__SIM_X_OPEN: opened(n, p); break;
    case MSUB__SIM_X_DATA:
      if (n->c->o.down_bytes_s == 0) {
        data(n, p);
        break;
      }
      if (msub__sim_self(n, msub__sim_down_until(n, p->wire), MSUB__SIM_X_TAKE, arg)) return;
      break;
    case MSUB__SIM_X_TAKE: data(n, p); break;
    case MSUB__SIM_X_WINDOW:
      if (!st || st->ending) break;
      st->credit += (size_t)p->u.word; /* the peer's, a size_t too */
      kick(st);
      break;
    case MSUB__SIM_X_NA:
      if (st) end(st, MSUB_END_UNSUPPORTED);
      break;
    default:
      if (st) end(st, (msub_end)p->u.word);
      break;
    }
  }
  msub__sim_packet_free(s, p);
}

/* ---- connections that end ---- */

void msub__sim_x_gone(msub__sim_node *n, uint32_t peer) {
  for (uint32_t i = 0; n->x && i < n->x->n; i++) {
    msub_stream *st = n->x->slots[i].s;
    if (!st || (peer != MSUB_SIM_NOBODY && st->peer != peer)) continue;
    if (peer != MSUB_SIM_NOBODY) {
      end(st, MSUB_END_GONE);
      continue;
    }
    if (!st->ending) st->why = MSUB_END_GONE;
    st->ending = true;
    tell_end(st);
  }
}

void msub__sim_x_fini(msub__sim_node *n) {
  msub__sim_x *x = n->x;
  const msub_mem *m = &n->sim->mem;
  if (!x) return;
  for (uint32_t i = 0; i < x->n; i++)
    if (x->slots[i].s) stream_free(x->slots[i].s);
  for (size_t i = 0; i < x->n_services; i++) msub__rc_drop(m, x->services[i].name);
  msub__table_fini(&x->table, m);
  msub__free(m, x->slots, x->cap * sizeof *x->slots);
  msub__free(m, x, sizeof *x);
  n->x = NULL;
}

/* ---- operations ---- */

/* on_end is required and the last member: no table is shorter. */
static bool complete(const msub_stream_handler *h) {
  return h->abi == MSUB_ABI && h->size >= sizeof *h && h->on_data && h->on_end;
}

static int serve(void *xp, const char *protocol, const msub_stream_handler *h, void *ud) {
  msub__sim_node *n = xp;
  const msub_mem *m = &n->sim->mem;
  if (!protocol || !*protocol) return MSUB_ERR_INVAL;
  if (!n->up) return MSUB_ERR_STATE;
  msub_bytes name = msub_str(protocol);
  msub__sim_x *x = h ? x_of(n) : n->x;
  if (!x) return h ? MSUB_ERR_NOMEM : MSUB_OK;
  if (h && !(complete(h) && h->on_open)) return MSUB_ERR_INVAL;
  for (size_t i = 0; i < x->n_services; i++) {
    if (!msub_bytes_eq((msub_bytes){ x->services[i].name->bytes, x->services[i].name->n }, name)) continue;
    if (h) return MSUB_ERR_CLAIMED;
    msub__rc_drop(m, x->services[i].name);
    x->services[i] = x->services[--x->n_services];
    return MSUB_OK;
  }
  if (!h) return MSUB_OK;
  if (x->n_services == MSUB__SIM_SERVICES) return MSUB_ERR_LIMIT;
  msub__rc *rc = msub__rc_new(m, name);
  if (!rc) return MSUB_ERR_NOMEM;
  x->services[x->n_services++] = (msub__sim_service){ rc, h, ud };
  return MSUB_OK;
}

static int open(void *xp, msub_bytes peer_id, const char *protocol, uint64_t deadline, const msub_stream_handler *h,
                void *word, msub_stream **out) {
  msub__sim_node *n = xp;
  msub_sim *s = n->sim;
  if (!protocol || !*protocol || !h || !complete(h) || !out) return MSUB_ERR_INVAL;
  uint32_t peer = msub_sim_find(s, peer_id);
  if (!n->up || peer == MSUB_SIM_NOBODY || !msub__sim_half_to(n, peer, true)) return MSUB_ERR_NOTFOUND;
  msub__sim_x *x = x_of(n);
  msub_stream *st = x ? stream_new(n, peer, ++x->ids, true, msub_str(protocol)) : NULL;
  if (!st) return MSUB_ERR_NOMEM;
  st->h = h;
  st->word = word;
  st->live = true;
  st->waiting = true;
  if (deadline != MSUB_NEVER) set_deadline(st, deadline);
  if (count(n, st, false) < MSUB__SIM_AT_ONCE && count(n, st, true) == 0) begin(st);
  *out = st;
  return MSUB_OK;
}

static size_t write(void *xp, msub_stream *st, msub_bytes b) {
  msub__sim_node *n = xp;
  if (st->ending || st->finished) return 0;
  size_t have = msub__buf_len(&st->out), room = have < MSUB__SIM_WINDOW ? MSUB__SIM_WINDOW - have : 0;
  msub_bytes part = { b.p, b.n < room ? b.n : room };
  if (part.n && msub__buf_append(&st->out, &n->sim->mem, part) != MSUB_OK) part.n = 0;
  if (part.n < b.n) st->want_write = true;
  kick(st);
  if (part.n < b.n) room_made(st);
  return part.n;
}

static void want_read(void *xp, msub_stream *st) {
  (void)xp;
  st->again = st->feeding;
  if (st->ending || st->feeding || !st->paused) return;
  st->paused = false;
  if (!st->feed_due) st->feed_due = msub__sim_self(st->n, st->n->sim->now.mono_ns, MSUB__SIM_X_FEED, word_of(st));
}

static void finish(void *xp, msub_stream *st) {
  (void)xp;
  if (st->ending || st->finished) return;
  st->finished = true;
  kick(st);
}

static void x_reset(void *xp, msub_stream *st) {
  (void)xp;
  if (st->ending) return;
  if (!st->waiting) tell(st, MSUB__SIM_X_RESET, NULL, MSUB_END_RESET, false, 0);
  end(st, MSUB_END_CANCELLED);
}

static void deadline(void *xp, msub_stream *st, uint64_t at) {
  (void)xp;
  if (!st->ending) set_deadline(st, at);
}

static uint64_t now(void *xp) { return ((const msub__sim_node *)xp)->sim->now.mono_ns; }

const msub_exchange_ops msub__sim_exchange_ops = { .abi = MSUB_ABI,
                                                   .size = sizeof(msub_exchange_ops),
                                                   .serve = serve,
                                                   .open = open,
                                                   .write = write,
                                                   .want_read = want_read,
                                                   .finish = finish,
                                                   .reset = x_reset,
                                                   .deadline = deadline,
                                                   .now = now };

msub_exchange msub_sim_exchange(msub_sim *s, uint32_t node) {
  msub__sim_node *n = msub__sim_node_of_no(s, node);
  return (msub_exchange){ n ? &msub__sim_exchange_ops : NULL, n };
}
