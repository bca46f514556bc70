/* sim/conn.c: connections and the sessions in them.
 *
 *   dialler                         other
 *   DIALLING ──── DIAL ───────────▶ UP, sessions, hello
 *   UP ◀───────── ACCEPT, hello ───
 *   CLOSED ◀───── REFUSE ──────────  (down, no room, cool-down)
 *
 * Each end is told of the other's deeds by packets only, so both agree as soon as these have arrived: a connection
 * has a number of its dialler, and what belongs to another one is out of date. When both dial at once, the dial of
 * the node with the lower number counts: it leaves the other one unanswered, and the other node gives its own up
 * when it sees the dial. */
#include "sim/sim.h"
#include <string.h>

/* ---- which router speaks to which ---- */

static bool has_id(const msub__sim_ids *ids, const char *id) {
  for (uint32_t i = 0; i < ids->n; i++)
    if (strcmp(ids->id[i], id) == 0) return true;
  return false;
}

static const char *common_id(const msub__sim_ids *mine, const msub__sim_ids *theirs) {
  for (uint32_t i = 0; i < mine->n; i++)
    if (has_id(theirs, mine->id[i])) return mine->id[i];
  return NULL;
}

/* The dialler's routers choose, in their order: the newest id that a router of the other side, not chosen yet,
 * speaks. Both ends come to the same. */
size_t msub__sim_match(const msub__sim_class *dialler, const msub__sim_class *other,
                       msub__sim_pair out[MSUB__SIM_ROUTERS]) {
  size_t n = 0;
  unsigned taken = 0;
  for (uint32_t d = 0; d < dialler->n_ids; d++) {
    const msub__sim_ids *ids = &dialler->ids[d];
    bool found = false;
    for (uint32_t i = 0; i < ids->n && !found; i++)
      for (uint32_t o = 0; o < other->n_ids && !found; o++) {
        if (taken & 1u << o || !has_id(&other->ids[o], ids->id[i])) continue;
        taken |= 1u << o;
        out[n++] = (msub__sim_pair){ (uint8_t)d, (uint8_t)o };
        found = true;
      }
  }
  return n;
}

/* ---- halves ---- */

msub__sim_half *msub__sim_half_to(const msub__sim_node *n, uint32_t peer, bool up) {
  for (uint32_t i = 0; i < n->n_halves; i++)
    if (n->halves[i].peer == peer && (!up || n->halves[i].state == MSUB__SIM_UP)) return &n->halves[i];
  return NULL;
}

msub__sim_half *msub__sim_half_of(const msub__sim_node *n, const msub__sim_packet *p, bool back) {
  uint32_t i = back ? p->from_half : p->half;
  if (i >= n->n_halves) return NULL;
  msub__sim_half *h = &n->halves[i];
  bool dialled = (p->flags & MSUB__SIM_DIALLER) != 0;
  if (h->state != MSUB__SIM_UP || h->conn != p->conn || h->peer != (back ? p->to : p->from)) return NULL;
  return h->outbound == (back ? dialled : !dialled) ? h : NULL;
}

/* The half for a new connection: the one that was there for this peer, one that is of no use any more, or a new one. */
static msub__sim_half *half_for(msub__sim_node *n, uint32_t peer) {
  msub_sim *s = n->sim;
  msub__sim_half *h = msub__sim_half_to(n, peer, false);
  for (uint32_t i = 0; !h && i < n->n_halves; i++)
    if (n->halves[i].state == MSUB__SIM_CLOSED && n->halves[i].last < s->now.mono_ns) h = &n->halves[i];
  if (!h) {
    if (n->n_halves == n->cap_halves) {
      uint32_t cap = n->cap_halves ? n->cap_halves * 2 : 4;
      msub__sim_half *p = msub__realloc(&s->mem, n->halves, n->cap_halves * sizeof *p, cap * sizeof *p);
      if (!p) {
        msub__sim_nomem(s);
        return NULL;
      }
      n->halves = p;
      n->cap_halves = cap;
    }
    h = &n->halves[n->n_halves++];
    memset(h, 0, sizeof *h);
  }
  *h = (msub__sim_half){ .last = h->peer == peer ? h->last : 0, .peer = peer };
  return h;
}

msub__sim_aux *msub__sim_aux_of(msub__sim_node *n, msub__sim_half *h) {
  if (!h->aux) h->aux = msub__zalloc(&n->sim->mem, 1, sizeof *h->aux);
  if (!h->aux) msub__sim_nomem(n->sim);
  return h->aux;
}

static void aux_free(msub__sim_node *n, msub__sim_half *h) {
  if (!h->aux) return;
  for (unsigned k = 0; k < MSUB__SIM_ROUTERS; k++) {
    if (!h->aux->lanes[k]) continue;
    if (n->c->o.up_bytes_s && n->net) n->net->up_bytes -= msub__sim_lanes_bytes(h->aux->lanes[k]);
    msub__sim_lanes_fini(h->aux->lanes[k], n->sim);
  }
  msub__free(&n->sim->mem, h->aux, sizeof *h->aux);
  h->aux = NULL;
}

static void hint_done(msub__sim_node *n, msub__sim_half *h) {
  if (h->hint && n->hint_dials) n->hint_dials--;
  h->hint = false;
}

static void report(msub__sim_node *n, msub_sim_what what, uint32_t peer, bool outbound) {
  if (!n->c->o.on_connection) return;
  msub__sim_call(n);
  n->c->o.on_connection(n->c->o.ud, n->sim, n->no, what, peer, outbound);
  msub__sim_back(n);
}

/* ---- sessions ---- */

static uint64_t link_word(const msub__sim_node *n, const msub__sim_half *h, unsigned k) {
  return (uint64_t)(h - n->halves) << 8 | k;
}

static void set_session(msub__sim_half *h, unsigned k, msub_session s) {
  if (k == 0) h->s = s;
  else h->aux->s[k] = s;
}

/* What is offered goes ahead of the hello. */
static bool send_offer(msub__sim_node *n, msub__sim_half *h, unsigned k) {
  msub__sim_packet *p = msub__sim_packet_new(n->sim);
  if (!p) {
    msub__sim_nomem(n->sim);
    return false;
  }
  p->k = (uint8_t)k;
  p->stream = h->aux->st[k].stream;
  p->u.id = n->c->ids[msub__sim_mine(h, k)].id[h->aux->st[k].offered];
  msub__sim_tell(n, h, MSUB__SIM_OFFER, p, 0);
  return true;
}

static void raw_session(msub__sim_node *n, const msub__sim_half *h, unsigned k, bool up) {
  if (!n->c->raw.on_session) return;
  msub__sim_call(n);
  n->c->raw.on_session(n->c->o.ud, n->sim, n->no, h->peer, n->c->ids[msub__sim_mine(h, k)].id[0], up);
  msub__sim_back(n);
}

static void open_session(msub__sim_node *n, msub__sim_half *h, unsigned k, const msub__sim_ids *mine,
                         const msub__sim_ids *theirs) {
  msub_sim *s = n->sim;
  const msub__sim_node *peer = msub__sim_node_at(s, h->peer);
  uint8_t id[64], ip[4];
  h->fresh |= (uint8_t)(1u << k);
  if (s->o.negotiate) {
    h->aux->st[k] = (msub__sim_stream){ .waits = true, .stream = 1 };
    if (!send_offer(n, h, k)) return;
  }
  if (!n->e) {
    raw_session(n, h, k, true);
    return;
  }
  msub_session_opts o = { .peer_id = msub__sim_id(peer, id),
                          .protocol = s->o.negotiate ? mine->id[0] : common_id(mine, theirs),
                          .address = msub__sim_ip(peer, ip),
                          .link = link_word(n, h, k),
                          .outbound = h->outbound,
                          .agreed = !s->o.negotiate };
  msub_session session = { 0 };
  n->hello = true;
  int err = msub_session_up(n->e, &o, &s->now, &session);
  n->hello = false;
  if (err != MSUB_OK) {
    session = (msub_session){ 0 };
    s->counts.refused_offers++;
  }
  set_session(h, k, session);
}

static void up(msub__sim_node *n, msub__sim_half *h) {
  msub_sim *s = n->sim;
  const msub__sim_class *mine = n->c, *theirs = msub__sim_node_at(s, h->peer)->c;
  msub__sim_pair pairs[MSUB__SIM_ROUTERS];
  size_t n_pairs = msub__sim_match(h->outbound ? mine : theirs, h->outbound ? theirs : mine, pairs);
  h->state = MSUB__SIM_UP;
  n->n_up++;
  hint_done(n, h);
  s->counts.connections += h->outbound;
  if ((n_pairs > 1 || s->o.negotiate) && !msub__sim_aux_of(n, h)) return;
  h->n_pairs = (uint8_t)n_pairs;
  for (unsigned k = 0; k < n_pairs; k++) {
    uint8_t m = h->outbound ? pairs[k].mine : pairs[k].theirs;
    if (k == 0) h->mine = m;
    else h->aux->mine[k] = m;
  }
  report(n, MSUB_SIM_CONNECTED, h->peer, h->outbound);
  for (unsigned k = 0; k < n_pairs; k++) {
    unsigned t = h->outbound ? pairs[k].theirs : pairs[k].mine;
    open_session(n, h, k, &mine->ids[msub__sim_mine(h, k)], &theirs->ids[t]);
  }
  msub__sim_touch(n);
}

/* What waits in the lanes is told as lost. */
static void drop_lanes(msub__sim_node *n, msub__sim_half *h, unsigned k) {
  msub__sim_lanes *l = h->aux ? h->aux->lanes[k] : NULL;
  for (msub__sim_packet *p; l && (p = msub__sim_lanes_next(l, false));) {
    if (n->c->o.up_bytes_s) n->net->up_bytes -= msub__sim_frame(p->wire);
    if (n->e && p->lane != MSUB__SIM_HELLO && (p->flags & MSUB__SIM_PARTS)) {
      msub_rpc rpc = msub__sim_view(p);
      (void)msub_dropped(n->e, msub__sim_session(h, k), &rpc, MSUB_R_GONE, &n->sim->now);
    }
    msub__sim_packet_free(n->sim, p);
  }
}

static void half_down(msub__sim_node *n, msub__sim_half *h) {
  msub_sim *s = n->sim;
  h->state = MSUB__SIM_CLOSED; /* sends are refused from here on */
  n->n_up--;
  s->counts.disconnections += h->outbound;
  for (unsigned k = 0; k < h->n_pairs; k++) {
    drop_lanes(n, h, k);
    if (!n->e) raw_session(n, h, k, false);
    else if (msub__sim_session(h, k).v) (void)msub_session_down(n->e, msub__sim_session(h, k), &s->now);
  }
  aux_free(n, h);
  msub__sim_x_gone(n, h->peer);
  msub__sim_touch(n);
  report(n, MSUB_SIM_DISCONNECTED, h->peer, h->outbound);
}

void msub__sim_halves_down(msub__sim_node *n, bool tell) {
  msub_sim *s = n->sim;
  for (uint32_t i = 0; i < n->n_halves; i++) {
    msub__sim_half *h = &n->halves[i];
    if (h->state == MSUB__SIM_UP && tell) {
      s->counts.disconnections += h->outbound;
      msub__sim_packet *p = msub__sim_packet_new(s);
      if (p) {
        /* A new connection may come before this notice: it is out of date then. */
        msub_sim_link l = msub__sim_link(n, h->peer);
        uint64_t at = msub__deadline(s->now.mono_ns, msub__sat_add_u64(msub__sim_latency(n, &l), s->o.crash_notice_ns));
        msub__sim_address(n, h, p);
        if (s->o.crash_notice_ns == 0 && at < h->last) at = h->last;
        if (!msub__sim_push(s, at, n->no, h->peer, MSUB__SIM_CLOSE, (uint64_t)(uintptr_t)p))
          msub__sim_packet_free(s, p);
      } else {
        msub__sim_nomem(s);
      }
    }
    aux_free(n, h);
    h->state = MSUB__SIM_CLOSED;
    h->hint = false;
  }
  n->n_up = 0;
}

/* ---- dialling ---- */

/* An answer that needs no half. */
static void answer(msub__sim_node *n, const msub__sim_packet *to, msub__sim_kind k, bool dialler) {
  msub_sim *s = n->sim;
  msub__sim_packet *p = msub__sim_packet_new(s);
  if (!p) {
    msub__sim_nomem(s);
    return;
  }
  p->from = n->no;
  p->to = to->from;
  p->half = to->from_half;
  p->conn = to->conn;
  p->flags = dialler ? MSUB__SIM_DIALLER : 0;
  msub_sim_link l = msub__sim_link(n, to->from);
  uint64_t at = msub__deadline(s->now.mono_ns, msub__sim_latency(n, &l));
  if (!msub__sim_push(s, at, n->no, to->from, k, (uint64_t)(uintptr_t)p)) msub__sim_packet_free(s, p);
}

/* May the engine have this peer? */
static bool allowed(const msub__sim_node *n, uint32_t peer) {
  const msub__sim_node *other = msub__sim_node_at(n->sim, peer);
  uint8_t id[64], ip[4];
  return !n->e || msub_allows(n->e, msub__sim_id(other, id), msub__sim_ip(other, ip), &n->sim->now, NULL) == MSUB_OK;
}

static void dial_failed(msub__sim_node *n, msub__sim_half *h) {
  h->state = MSUB__SIM_CLOSED;
  hint_done(n, h);
  n->sim->counts.dials_failed++;
  report(n, MSUB_SIM_DIAL_FAILED, h->peer, true);
}

void msub__sim_connecting(msub__sim_node *n, uint32_t peer, bool hint) {
  msub_sim *s = n->sim;
  const msub__sim_half *there = msub__sim_half_to(n, peer, false);
  if (!n->up || peer == n->no || (there && there->state != MSUB__SIM_CLOSED)) {
    if (hint && n->hint_dials) n->hint_dials--;
    return;
  }
  msub__sim_half *h = half_for(n, peer);
  msub__sim_packet *p = h ? msub__sim_packet_new(s) : NULL;
  if (!p) {
    msub__sim_nomem(s);
    return;
  }
  h->hint = hint;
  h->outbound = true;
  s->counts.dials++;
  if (hint) s->counts.hints_dialled++;
  if (!allowed(n, peer)) {
    msub__sim_packet_free(s, p);
    dial_failed(n, h);
    return;
  }
  h->state = MSUB__SIM_DIALLING;
  h->conn = ++n->dials;
  msub__sim_tell(n, h, MSUB__SIM_DIAL, p, 0);
}

void msub__sim_dialled(msub__sim_node *n, msub__sim_packet *p) {
  msub_sim *s = n->sim;
  msub__sim_half *h = msub__sim_half_to(n, p->from, false);
  bool dialling = h && h->state == MSUB__SIM_DIALLING, connected = h && h->state == MSUB__SIM_UP;
  if (n->up && dialling && n->no < p->from) {
    msub__sim_packet_free(s, p); /* ours counts */
    return;
  }
  unsigned bound = n->c->o.max_connections;
  if (!n->up || (bound && n->n_up - connected >= bound) || !allowed(n, p->from)) {
    if (n->up && dialling) dial_failed(n, h); /* nobody will answer it */
    answer(n, p, MSUB__SIM_REFUSE, false);
    msub__sim_packet_free(s, p);
    return;
  }
  if (connected) half_down(n, h); /* the peer has forgotten that one */
  if (dialling) hint_done(n, h);
  h = half_for(n, p->from);
  msub__sim_packet *yes = h ? msub__sim_packet_new(s) : NULL;
  if (yes) {
    h->conn = p->conn;
    h->peer_half = p->from_half;
    msub__sim_tell(n, h, MSUB__SIM_ACCEPT, yes, 0);
    up(n, h);
  } else {
    msub__sim_nomem(s);
  }
  msub__sim_packet_free(s, p);
}

static msub__sim_half *dial_of(const msub__sim_node *n, const msub__sim_packet *p) {
  if (!n->up || p->half >= n->n_halves) return NULL;
  msub__sim_half *h = &n->halves[p->half];
  return h->state == MSUB__SIM_DIALLING && h->conn == p->conn && h->peer == p->from ? h : NULL;
}

void msub__sim_accepted(msub__sim_node *n, msub__sim_packet *p) {
  msub__sim_half *h = dial_of(n, p);
  if (h) {
    h->peer_half = p->from_half;
    up(n, h);
  } else {
    answer(n, p, MSUB__SIM_CLOSE, true);
  }
  msub__sim_packet_free(n->sim, p);
}

void msub__sim_refused(msub__sim_node *n, msub__sim_packet *p) {
  msub__sim_half *h = dial_of(n, p);
  if (h) dial_failed(n, h);
  msub__sim_packet_free(n->sim, p);
}

/* ---- closing ---- */

void msub__sim_closed(msub__sim_node *n, msub__sim_packet *p) {
  msub__sim_half *h = msub__sim_half_of(n, p, false);
  if (h) half_down(n, h);
  msub__sim_packet_free(n->sim, p);
}

void msub__sim_disconnecting(msub__sim_node *n, uint32_t peer) {
  msub_sim *s = n->sim;
  msub__sim_half *h = msub__sim_half_to(n, peer, false);
  if (!n->up || !h || h->state == MSUB__SIM_CLOSED) return;
  if (h->state == MSUB__SIM_DIALLING) {
    dial_failed(n, h); /* an ACCEPT that is under way is answered */
    return;
  }
  msub__sim_packet *p = msub__sim_packet_new(s);
  if (p) msub__sim_tell(n, h, MSUB__SIM_CLOSE, p, 0);
  else msub__sim_nomem(s);
  half_down(n, h);
}

/* ---- streams ---- */

static void reply(msub__sim_node *n, msub__sim_half *h, const msub__sim_packet *to, msub__sim_kind k) {
  msub__sim_packet *p = msub__sim_packet_new(n->sim);
  if (!p) {
    msub__sim_nomem(n->sim);
    return;
  }
  p->k = to->k;
  p->stream = to->stream;
  msub__sim_tell(n, h, k, p, 0);
}

void msub__sim_offered(msub__sim_node *n, msub__sim_packet *p) {
  msub__sim_half *h = msub__sim_half_of(n, p, false);
  if (h && h->aux && p->k < h->n_pairs) {
    msub__sim_stream *st = &h->aux->st[p->k];
    st->in_stream = p->stream;
    st->in_ok = has_id(&n->c->ids[msub__sim_mine(h, p->k)], p->u.id) && (!n->e || msub__sim_session(h, p->k).v);
    reply(n, h, p, st->in_ok ? MSUB__SIM_AGREED : MSUB__SIM_NA);
  }
  msub__sim_packet_free(n->sim, p);
}

/* The stream that an answer is about; NULL: not the one that waits. */
static msub__sim_stream *offer_of(const msub__sim_node *n, const msub__sim_packet *p, msub__sim_half **out) {
  msub__sim_half *h = *out = msub__sim_half_of(n, p, false);
  if (!h || !h->aux || p->k >= h->n_pairs) return NULL;
  msub__sim_stream *st = &h->aux->st[p->k];
  return st->waits && !st->dead && st->stream == p->stream ? st : NULL;
}

void msub__sim_agreed(msub__sim_node *n, msub__sim_packet *p) {
  msub__sim_half *h;
  msub__sim_stream *st = offer_of(n, p, &h);
  if (st) {
    st->waits = false;
    if (n->e) (void)msub_session_agreed(n->e, msub__sim_session(h, p->k), &n->sim->now);
    msub__sim_flush(n, h);
    msub__sim_touch(n);
  }
  msub__sim_packet_free(n->sim, p);
}

/* The session goes on with a new stream and a new hello. */
static void offer_again(msub__sim_node *n, msub__sim_half *h, unsigned k, const char *id) {
  h->aux->st[k].stream++;
  h->fresh |= (uint8_t)(1u << k);
  if (n->sim->o.negotiate && !send_offer(n, h, k)) return;
  if (n->e) {
    n->hello = true;
    (void)msub_session_offer(n->e, msub__sim_session(h, k), id, link_word(n, h, k), &n->sim->now);
    n->hello = false;
  }
  msub__sim_touch(n);
}

void msub__sim_na(msub__sim_node *n, msub__sim_packet *p) {
  msub__sim_half *h;
  msub__sim_stream *st = offer_of(n, p, &h);
  if (st) {
    const msub__sim_ids *ids = &n->c->ids[msub__sim_mine(h, p->k)];
    if (st->offered + 1u < ids->n) {
      st->offered++;
      offer_again(n, h, p->k, ids->id[st->offered]);
    } else {
      st->dead = true;
      drop_lanes(n, h, p->k);
      if (n->e && msub__sim_session(h, p->k).v) (void)msub_session_down(n->e, msub__sim_session(h, p->k), &n->sim->now);
      set_session(h, p->k, (msub_session){ 0 });
      msub__sim_touch(n);
    }
  }
  msub__sim_packet_free(n->sim, p);
}

void msub__sim_was_reset(msub__sim_node *n, msub__sim_packet *p) {
  msub_sim *s = n->sim;
  msub__sim_half *h = msub__sim_half_of(n, p, false);
  msub__sim_aux *a = h && p->k < h->n_pairs ? msub__sim_aux_of(n, h) : NULL;
  if (a && a->st[p->k].stream == p->stream && !a->st[p->k].waits) {
    msub__sim_stream *st = &a->st[p->k];
    if (!n->e) {
      if (s->o.negotiate) st->waits = true;
      offer_again(n, h, p->k, NULL);
      if (n->c->raw.on_reset) {
        msub__sim_call(n);
        n->c->raw.on_reset(n->c->o.ud, s, n->no, h->peer, n->c->ids[msub__sim_mine(h, p->k)].id[0]);
        msub__sim_back(n);
      }
    } else if (st->tries == MSUB__SIM_REOPEN_TRIES) {
      st->waits = st->dead = true;
      drop_lanes(n, h, p->k);
    } else {
      uint64_t arg = (uint64_t)(h - n->halves) << 32 | (h->conn & 0xffffu) << 16 | (uint32_t)p->k << 8 | st->stream;
      st->waits = true;
      msub__sim_self(n, msub__deadline(s->now.mono_ns, MSUB__SIM_REOPEN_NS << st->tries++), MSUB__SIM_REOPEN, arg);
    }
  }
  msub__sim_packet_free(s, p);
}

void msub__sim_reopen(msub__sim_node *n, uint64_t arg) {
  uint32_t i = (uint32_t)(arg >> 32);
  unsigned k = arg >> 8 & 0xff;
  if (i >= n->n_halves) return;
  msub__sim_half *h = &n->halves[i];
  if (h->state != MSUB__SIM_UP || (h->conn & 0xffffu) != (arg >> 16 & 0xffff) || !h->aux || k >= h->n_pairs) return;
  msub__sim_stream *st = &h->aux->st[k];
  if (!st->waits || st->stream != (uint8_t)arg || !n->e) return;
  offer_again(n, h, k, msub_session_protocol(n->e, msub__sim_session(h, k)));
  if (n->sim->o.negotiate) return;
  st->waits = false;
  (void)msub_session_agreed(n->e, msub__sim_session(h, k), &n->sim->now);
  msub__sim_flush(n, h);
}

/* ---- hints ---- */

void msub__sim_hint(msub__sim_node *n, uint32_t peer) {
  msub_sim *s = n->sim;
  const msub__sim_half *h = msub__sim_half_to(n, peer, false);
  if (peer == n->no || !n->up || (h && h->state != MSUB__SIM_CLOSED)) return;
  if (n->hint_dials >= n->c->o.max_hint_dials ||
      (n->c->o.max_connections && n->n_up + n->hint_dials >= n->c->o.max_connections)) {
    s->counts.hints_over_limit++;
    return;
  }
  if (msub__sim_self(n, s->now.mono_ns, MSUB__SIM_CONNECT, (uint64_t)1 << 32 | peer)) n->hint_dials++;
}

/* ---- the program's hands ---- */

int msub_sim_connect(msub_sim *s, uint32_t a, uint32_t b, uint64_t at_mono_ns) {
  if (a >= s->n_nodes || b >= s->n_nodes || a == b) return MSUB_ERR_INVAL;
  return msub__sim_push(s, at_mono_ns, s->current, a, MSUB__SIM_CONNECT, b) ? MSUB_OK : MSUB_ERR_NOMEM;
}
int msub_sim_disconnect(msub_sim *s, uint32_t a, uint32_t b, uint64_t at_mono_ns) {
  if (a >= s->n_nodes || b >= s->n_nodes || a == b) return MSUB_ERR_INVAL;
  return msub__sim_push(s, at_mono_ns, s->current, a, MSUB__SIM_DISCONNECT, b) ? MSUB_OK : MSUB_ERR_NOMEM;
}
bool msub_sim_connected(const msub_sim *s, uint32_t a, uint32_t b) {
  const msub__sim_node *n = msub__sim_node_of_no(s, a);
  return n && msub__sim_half_to(n, b, true);
}
size_t msub_sim_connections(const msub_sim *s, uint32_t node) {
  const msub__sim_node *n = msub__sim_node_of_no(s, node);
  return n ? n->n_up : 0;
}
uint32_t msub_sim_connection(const msub_sim *s, uint32_t node, size_t i) {
  const msub__sim_node *n = msub__sim_node_of_no(s, node);
  for (uint32_t k = 0; n && k < n->n_halves; k++)
    if (n->halves[k].state == MSUB__SIM_UP && i-- == 0) return n->halves[k].peer;
  return MSUB_SIM_NOBODY;
}

msub_session msub_sim_session(const msub_sim *s, uint32_t node, uint32_t peer, unsigned router) {
  const msub__sim_node *n = msub__sim_node_of_no(s, node);
  const msub__sim_half *h = n ? msub__sim_half_to(n, peer, true) : NULL;
  for (unsigned k = 0; h && k < h->n_pairs; k++)
    if (msub__sim_mine(h, k) == router) return msub__sim_session(h, k);
  return (msub_session){ 0 };
}

int msub_sim_raw_send(msub_sim *s, uint32_t node, uint32_t peer, const char *protocol, msub_bytes frame) {
  msub__sim_node *n = msub__sim_node_of_no(s, node);
  msub__sim_half *h = n && n->up && !n->e ? msub__sim_half_to(n, peer, true) : NULL;
  for (unsigned k = 0; h && k < h->n_pairs; k++) {
    if (protocol && strcmp(n->c->ids[msub__sim_mine(h, k)].id[0], protocol) != 0) continue;
    msub__sim_packet *p = frame.n <= UINT32_MAX ? msub__sim_packet_new(s) : NULL;
    msub__rc *bytes = p ? msub__rc_new(&s->mem, frame) : NULL;
    if (!bytes) {
      if (p) msub__sim_packet_free(s, p);
      return MSUB_ERR_NOMEM;
    }
    p->u.bytes = bytes;
    p->flags = MSUB__SIM_BYTES;
    p->wire = (uint32_t)frame.n;
    p->lane = MSUB_LANE_OWN;
    int err = msub__sim_send(n, (uint32_t)(h - n->halves), k, p);
    if (err != MSUB_OK) msub__sim_packet_free(s, p);
    return err;
  }
  return MSUB_ERR_NOTFOUND;
}
