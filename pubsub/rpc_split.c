/* pubsub/rpc_split.c: greedy packing. Sizes are kept as sums, so that adding a piece costs the same however much
 * is in the fragment already. */
#include "pubsub/rpc_split.h"
#include "pubsub/rpc_wire.h"

/* ---- sizes ---- */

typedef struct sizes {
  size_t msgs, subs, body, other; /* bytes: publish fields; subscription fields; inside control; partial and test */
  size_t n_msgs, n_subs, n_idontwant, pieces;
} sizes;

static size_t plus(size_t a, size_t b) { return a > SIZE_MAX - b ? SIZE_MAX : a + b; }
/* A length-delimited field whose tag takes one byte. */
static size_t field(size_t n) { return plus(n, 1 + msub__varint_size(n)); }

static sizes sum(const sizes *a, const sizes *b) {
  return (sizes){ plus(a->msgs, b->msgs),
                  plus(a->subs, b->subs),
                  plus(a->body, b->body),
                  plus(a->other, b->other),
                  plus(a->n_msgs, b->n_msgs),
                  plus(a->n_subs, b->n_subs),
                  plus(a->n_idontwant, b->n_idontwant),
                  plus(a->pieces, b->pieces) };
}
static size_t control_size(const sizes *z) { return plus(z->subs, z->body ? field(z->body) : 0); }
static size_t frame_size(const sizes *z) { return plus(plus(z->msgs, z->other), control_size(z)); }

static bool over(size_t n, size_t limit) { return n == SIZE_MAX || (limit && n > limit); }
static bool fits(const sizes *z, const msub__split_limits *lim) {
  size_t size = frame_size(z);
  return !over(size, lim->frame_bytes) && (z->pieces < 2 || !over(size, lim->batch_bytes)) &&
         !over(control_size(z), lim->control_bytes) && !over(z->n_msgs, lim->messages) &&
         !over(z->n_subs, lim->subscriptions) && !over(z->n_idontwant, lim->idontwant_ids);
}

static bool is_sub(const msub_ctl_entry *e) { return e->kind == MSUB_C_SUB || e->kind == MSUB_C_UNSUB; }
static bool has_ids(const msub_ctl_entry *e) {
  return e->kind == MSUB_C_IHAVE || e->kind == MSUB_C_IWANT || e->kind == MSUB_C_IDONTWANT;
}
static size_t px_size(const msub_px *px) {
  return field(plus(field(px->peer_id.n), px->record.n ? field(px->record.n) : 0));
}
/* The content of an entry without its ids and peers. */
static size_t bare_size(const msub_ctl_entry *e, msub_bytes topic) {
  switch (e->kind) {
  case MSUB_C_SUB:
  case MSUB_C_UNSUB: return plus(field(topic.n), 6);
  case MSUB_C_PRUNE:
    return plus(field(topic.n), e->backoff_s ? 1 + msub__varint_size(e->backoff_s) : 0);
  case MSUB_C_IHAVE:
  case MSUB_C_GRAFT: return field(topic.n);
  default: return 0;
  }
}
static sizes of_entry(const msub_ctl_entry *e, msub_bytes topic) {
  if (msub__ctl_is_shared(e))
    return (sizes){ .body = msub__ctl_field(e).n, .n_idontwant = e->kind == MSUB_C_IDONTWANT ? e->n_ids : 0, .pieces = e->n_ids ? e->n_ids : 1 };
  size_t n = bare_size(e, topic);
  if (is_sub(e)) return (sizes){ .subs = field(n), .n_subs = 1, .pieces = 1 };
  sizes z = { .pieces = 1 };
  if (has_ids(e)) {
    for (uint32_t i = 0; i < e->n_ids; i++) n = plus(n, field(e->ids[i].n));
    if (e->n_ids) z.pieces = e->n_ids;
    if (e->kind == MSUB_C_IDONTWANT) z.n_idontwant = e->n_ids;
  } else if (e->kind == MSUB_C_PRUNE) {
    for (unsigned i = 0; i < e->n_px; i++) n = plus(n, px_size(&e->px[i]));
  } else if (e->kind != MSUB_C_GRAFT) {
    return (sizes){ 0 };
  }
  z.body = field(n);
  return z;
}
/* The extensions inside of control: msub_ext_encode() puts a control field around them. */
#define EXT_WRAP 2u
static sizes of_ext(const msub__load *l) {
  return (sizes){ .body = msub_ext_encode(l->ext_partial, l->ext_test, NULL, 0) - EXT_WRAP, .pieces = 1 };
}
static sizes of_partial(const msub__load *l) {
  return (sizes){ .other = msub_partial_encode(l->partial, NULL, 0), .pieces = 1 };
}
static sizes of_test(void) { return (sizes){ .other = msub_test_encode(NULL, 0), .pieces = 1 }; }
static sizes of_msg(const msub_msg *m) { return (sizes){ .msgs = field(m->wire_n), .n_msgs = 1, .pieces = 1 }; }

static void add(sizes *to, sizes piece) { *to = sum(to, &piece); }
static sizes of_rest(const msub__load *l) {
  sizes z = { 0 };
  for (size_t i = 0; i < l->n; i++) add(&z, of_entry(&l->e[i], l->names[i]));
  if (l->ext) add(&z, of_ext(l));
  if (l->partial) add(&z, of_partial(l));
  if (l->test) add(&z, of_test());
  return z;
}

/* ---- encoding ---- */

/* What msub_ctl_encode() wrote ends in a control field with `body` bytes, or none; the extensions go in there. */
static uint8_t *add_ext(const msub__load *l, uint8_t *end, size_t body, size_t ext_n) {
  uint8_t ext[32];
  (void)msub_ext_encode(l->ext_partial, l->ext_test, ext, sizeof ext);
  uint8_t *control = end - (body ? field(body) : 0);
  size_t head = 1 + msub__varint_size(body + ext_n);
  if (body) memmove(control + head, end - body, body);
  (void)msub__wr_varint(msub__wr_varint(control, 0x1a), body + ext_n);
  return msub__wr_bytes(control + head + body, (msub_bytes){ ext + EXT_WRAP, ext_n });
}

size_t msub__rest_encode(const msub__load *l, uint8_t *out, size_t cap) {
  sizes z = of_rest(l);
  size_t total = frame_size(&z), ext_n = l->ext ? of_ext(l).body : 0;
  if (!out || total > cap) return total;
  uint8_t *p = out;
  p += msub_ctl_encode(l->e, l->names, l->n, p, cap);
  if (l->ext) p = add_ext(l, p, z.body - ext_n, ext_n);
  if (l->partial) p += msub_partial_encode(l->partial, p, (size_t)(out + cap - p));
  if (l->test) (void)msub_test_encode(p, (size_t)(out + cap - p));
  return total;
}

/* ---- fragments ---- */

typedef struct split {
  const msub__load *in;
  msub__split_limits lim;
  msub__split_fn *fn;
  void *ud;
  bool stopped;
  msub__fragment f; /* under way, with sizes z */
  sizes z;
  /* The last entry takes more ids: its content has open_n bytes. It is a view into one entry of the load, `src`,
   * or (NULL) the last ids of the array below. */
  bool open;
  size_t open_n;
  const msub_ctl_entry *src;
  msub_ctl_entry e[MSUB__SPLIT_ENTRIES];
  msub_bytes names[MSUB__SPLIT_ENTRIES];
  msub_bytes ids[MSUB__SPLIT_IDS];
  size_t n_ids;
} split;

static void clear(split *s) {
  s->f = (msub__fragment){ .load = { .e = s->e, .names = s->names } };
  s->z = (sizes){ 0 };
  s->open = false;
  s->n_ids = 0;
}
static void show(split *s, msub__fragment *f, const sizes *z) {
  f->size = frame_size(z);
  f->control_size = control_size(z);
  if (!s->fn(s->ud, f)) s->stopped = true;
}
static void flush(split *s) {
  if (s->z.pieces) show(s, &s->f, &s->z);
  clear(s);
}
/* Ends the piece that was put into the empty fragment because nothing else may go with it. */
static void flush_alone(split *s, const sizes *z, bool too_large) {
  s->f.too_large = too_large;
  show(s, &s->f, z);
  clear(s);
}

static bool try(split *s, const sizes *piece, bool entry) {
  sizes z = sum(&s->z, piece);
  if (!fits(&z, &s->lim) || (entry && s->f.load.n == MSUB__SPLIT_ENTRIES)) return false;
  s->z = z;
  return true;
}
/* Room for the piece, in a new fragment if need be. False: it does not fit into that one either (which is empty),
 * or the callback has stopped. */
static bool place(split *s, const sizes *piece, bool entry) {
  if (try(s, piece, entry)) return true;
  if (s->z.pieces) flush(s);
  return !s->stopped && try(s, piece, entry);
}
static msub_ctl_entry *push(split *s, const msub_ctl_entry *e, msub_bytes name) {
  size_t i = s->f.load.n++;
  s->e[i] = *e;
  s->names[i] = name;
  return &s->e[i];
}

static void take_messages(split *s) {
  for (size_t i = 0; i < s->in->n_msgs && !s->stopped; i++) {
    sizes z = of_msg(s->in->msgs[i]);
    bool ok = place(s, &z, false);
    if (s->stopped) return;
    if (!s->f.load.n_msgs) s->f.load.msgs = &s->in->msgs[i];
    s->f.load.n_msgs++;
    if (!ok) flush_alone(s, &z, true);
  }
  if (!s->stopped) flush(s);
}

/* The PRUNE that does not fit, in an empty fragment: with fewer peers, or too large. */
static void take_cut_prune(split *s, const msub_ctl_entry *e, msub_bytes name, const sizes *whole) {
  size_t n = bare_size(e, name);
  uint16_t keep = 0;
  sizes z = { .body = field(n), .pieces = 1 };
  bool ok = fits(&z, &s->lim);
  while (ok && keep < e->n_px) {
    n = plus(n, px_size(&e->px[keep]));
    sizes more = { .body = field(n), .pieces = 1 };
    if (!fits(&more, &s->lim)) break;
    z = more;
    keep++;
  }
  msub_ctl_entry *at = push(s, e, name);
  if (ok) {
    at->n_px = keep;
    s->f.px_cut = (size_t)(e->n_px - keep);
  }
  flush_alone(s, ok ? &z : whole, !ok);
}

static void take_entry(split *s, const msub_ctl_entry *e, msub_bytes name) {
  sizes z = of_entry(e, name);
  if (!z.pieces) return;
  bool ok = place(s, &z, true);
  if (s->stopped) return;
  s->open = false;
  if (!ok && e->kind == MSUB_C_PRUNE && e->n_px) {
    take_cut_prune(s, e, name, &z);
    return;
  }
  (void)push(s, e, name);
  if (!ok) flush_alone(s, &z, true);
}

/* Whether the next id of `src` may join the open entry. */
static bool joins(const split *s, const msub_ctl_entry *src) {
  if (!s->open || s->src == src) return s->open;
  size_t need = s->src ? (size_t)s->e[s->f.load.n - 1].n_ids + 1 : 1;
  return need <= MSUB__SPLIT_IDS - s->n_ids;
}
static void join(split *s, const msub_ctl_entry *src, uint32_t i) {
  msub_ctl_entry *at = &s->e[s->f.load.n - 1];
  if (s->src != src) {
    if (s->src) { /* a view so far: from here on a list of ours */
      memcpy(&s->ids[s->n_ids], at->ids, at->n_ids * sizeof *at->ids);
      at->ids = &s->ids[s->n_ids];
      s->n_ids += at->n_ids;
      s->src = NULL;
    }
    s->ids[s->n_ids++] = src->ids[i];
  }
  at->n_ids++;
}

/* One id after the other. */
static void take_list(split *s, const msub_ctl_entry *e, msub_bytes name) {
  const size_t bare = bare_size(e, name);
  msub_ctl_entry part = *e;
  part.of = NULL;
  for (uint32_t i = 0; i < e->n_ids && !s->stopped; i++) {
    size_t n = field(e->ids[i].n);
    sizes z = { .n_idontwant = e->kind == MSUB_C_IDONTWANT, .pieces = 1 };
    if (joins(s, e)) {
      size_t more = plus(s->open_n, n);
      z.body = field(more) - field(s->open_n);
      if (try(s, &z, false)) {
        join(s, e, i);
        s->open_n = more;
        continue;
      }
      flush(s);
      if (s->stopped) return;
    }
    part.ids = &e->ids[i];
    part.n_ids = 1;
    z.body = field(plus(bare, n));
    bool ok = place(s, &z, true);
    if (s->stopped) return;
    if (!ok) {
      sizes topic = { .body = field(bare), .pieces = 1 };
      bool never = !fits(&topic, &s->lim);
      if (never) { /* nor will any other of its ids */
        part.n_ids = e->n_ids - i;
        z = of_entry(&part, name);
      }
      (void)push(s, &part, name);
      flush_alone(s, &z, true);
      if (never) return;
      continue;
    }
    (void)push(s, &part, name);
    s->open = true;
    s->open_n = plus(bare, n);
    s->src = e;
  }
}

static void take_kind(split *s, unsigned kind) {
  s->open = false;
  for (size_t i = 0; i < s->in->n && !s->stopped; i++) {
    const msub_ctl_entry *e = &s->in->e[i];
    if (e->kind != kind && !(kind == MSUB_C_SUB && e->kind == MSUB_C_UNSUB)) continue;
    if (!has_ids(e) || (!e->n_ids && kind == MSUB_C_IHAVE)) {
      take_entry(s, e, s->in->names[i]);
    } else {
      if (kind == MSUB_C_IHAVE) s->open = false;
      take_list(s, e, s->in->names[i]);
    }
  }
}

static void take_rest(split *s) {
  static const uint8_t order[] = { MSUB_C_SUB,   MSUB_C_GRAFT,     MSUB_C_PRUNE,
                                   MSUB_C_IWANT, MSUB_C_IDONTWANT, MSUB_C_IHAVE };
  const msub__load *in = s->in;
  if (in->ext) {
    sizes z = of_ext(in);
    bool ok = place(s, &z, false);
    s->f.load.ext = true;
    s->f.load.ext_partial = in->ext_partial;
    s->f.load.ext_test = in->ext_test;
    if (!ok) flush_alone(s, &z, true);
  }
  for (size_t i = 0; i < sizeof order && !s->stopped; i++) take_kind(s, order[i]);
  if (in->partial && !s->stopped) {
    sizes z = of_partial(in);
    bool ok = place(s, &z, false);
    if (s->stopped) return;
    s->f.load.partial = in->partial;
    if (!ok) flush_alone(s, &z, true);
  }
  if (in->test && !s->stopped) {
    sizes z = of_test();
    bool ok = place(s, &z, false);
    if (s->stopped) return;
    s->f.load.test = true;
    if (!ok) flush_alone(s, &z, true);
  }
  if (!s->stopped) flush(s);
}

/* Shows `load` as it is when it fits. */
static bool show_whole(split *s, const msub__load *load, const sizes *z) {
  if (!z->pieces || !fits(z, &s->lim)) return !z->pieces;
  msub__fragment f = { .load = *load };
  show(s, &f, z);
  return true;
}

bool msub__rpc_split(const msub__load *load, const msub__split_limits *lim, msub__split_fn *fn, void *ud) {
  split s;
  s.in = load;
  s.lim = lim ? *lim : (msub__split_limits){ 0 };
  s.fn = fn;
  s.ud = ud;
  s.stopped = false;
  s.src = NULL;
  s.open_n = 0;
  clear(&s);
  sizes rest = of_rest(load), all = rest;
  for (size_t i = 0; i < load->n_msgs; i++) add(&all, of_msg(load->msgs[i]));
  if (show_whole(&s, load, &all)) return !s.stopped;
  take_messages(&s);
  if (s.stopped) return false;
  msub__load without = *load;
  without.msgs = NULL;
  without.n_msgs = 0;
  if (!show_whole(&s, &without, &rest)) take_rest(&s);
  return !s.stopped;
}
