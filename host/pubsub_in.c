/* host/pubsub_in.c: the pubsub streams that a peer opens: bytes → frames → engine. */
#include <string.h>
#include "host/handlers.h"
#include "host/peers.h"
#include "host/session.h"

/* ---- when not to read ---- */

/* A message that is refused because too many are being verified is lost to the peer that sent it, so the
 * streams stop before that: the peers' windows fill up, and they wait. Half of what the engine and the pool
 * take leaves room for what is on its way. */
bool msub__pubsub_in_throttled(const msub_host *h) {
  if (!h->pool) return false;
  size_t jobs =
      h->o.engine.pending_messages < h->o.verify_queue ? h->o.engine.pending_messages : h->o.verify_queue;
  size_t inside = msub__pool_inside(h->pool), bytes;
  return inside > jobs / 2 || !msub__mul_size(inside, h->pool_job_max, &bytes) ||
         bytes > h->o.engine.pending_bytes / 2;
}

static void stop_here(msub__pubsub_in *p) {
  if (msub__list_empty(&p->in_resume)) msub__list_push(&p->stream->conn->host->resume, &p->in_resume);
}

/* ---- one frame ---- */

static void free_held(msub__pubsub_in *p) {
  msub__free(&p->stream->conn->host->mem, p->held, p->frame.n);
  p->held = NULL;
  p->frame = (msub_bytes){ NULL, 0 };
}

/* The first frame of the newest stream is a hello. */
static void announce(msub__pubsub_in *p) {
  msub__sess *s = p->sess;
  msub_host *h = s->peer->host;
  p->heard = true;
  if (p->stream->seq < s->newest_seq) return;
  s->newest = p;
  s->newest_seq = p->stream->seq;
  msub__enter(h);
  (void)msub_session_inbound(h->engine, s->handle, &h->now);
  msub__leave(h);
}

static int receive(msub__pubsub_in *p, msub_bytes frame) {
  msub_host *h = p->sess->peer->host;
  msub__enter(h);
  int r = msub_receive(h->engine, p->sess->handle, frame, &h->now);
  msub__leave(h);
  return r;
}

/* Keeps the frame until the engine has finished it. */
static bool keep(msub__pubsub_in *p, msub_bytes frame) {
  p->frame = frame;
  if (frame.p != p->frames.buf) { /* a view of bytes that die with this call */
    p->held = msub__alloc(&p->stream->conn->host->mem, frame.n);
    if (!p->held) return false;
    memcpy(p->held, frame.p, frame.n);
    p->frame.p = p->held;
  }
  p->sess->half = p;
  stop_here(p);
  return true;
}

static void broken(msub__pubsub_in *p, int err) {
  msub__stream *s = p->stream;
  msub_host *h = s->conn->host;
  h->counts.protocol_faults++;
  if (err != MSUB_ERR_NOMEM) {
    int reason = err == MSUB_ERR_LIMIT ? MSUB_R_RPC_OVER_LIMIT : MSUB_R_MALFORMED_RPC;
    msub__report(h, msub__peer_bytes(p->sess->peer), &s->conn->remote, reason, MSUB__HOST_BLAME_STREAM);
  }
  msub__stream_reset(s, err);
}

/* Hands a frame to the engine. false: the stream was reset, or stops here. */
static bool handle(msub__pubsub_in *p, msub_bytes frame) {
  msub__stream *s = p->stream;
  if (!p->sess->up) { /* refused by the engine: nobody to hand it to */
    msub__stream_reset(s, MSUB_ERR_REFUSED);
    return false;
  }
  if (!p->heard) announce(p);
  int r = receive(p, frame);
  if (r == MSUB_MORE) {
    if (!keep(p, frame)) msub__stream_reset(s, MSUB_ERR_NOMEM);
    return false;
  }
  if (r == MSUB_ERR_MALFORMED || r == MSUB_ERR_LIMIT || r == MSUB_ERR_STALE) {
    msub__stream_reset(s, r); /* the engine has counted and blamed */
    return false;
  }
  return !s->conn->failed;
}

/* ---- the stream ---- */

static size_t in_data(msub__stream *s, msub_bytes in) {
  msub__pubsub_in *p = s->own;
  msub__conn *c = s->conn;
  if (p->sess->half || msub__pubsub_in_throttled(c->host)) {
    stop_here(p);
    return 0;
  }
  msub_bytes frame;
  int r;
  msub_frames_feed(&p->frames, in);
  while ((r = msub_frames_next(&p->frames, &frame)) == 1) {
    bool on = handle(p, frame);
    if (!c->current) return in.n; /* reset */
    if (!on || msub__pubsub_in_throttled(c->host)) {
      size_t left = msub_frames_rest(&p->frames).n;
      msub_frames_feed(&p->frames, (msub_bytes){ NULL, 0 });
      stop_here(p);
      return in.n - left;
    }
  }
  if (r < 0) broken(p, r);
  return in.n;
}

static void in_agreed(msub__stream *s, msub_bytes protocol) {
  msub__conn *c = s->conn;
  msub_host *h = c->host;
  const msub__group *g = msub__handlers_group(h, protocol);
  msub__sess *sess = &c->peer->sess[g - h->groups];
  msub__pubsub_in *p = msub__zalloc(&h->mem, 1, sizeof *p);
  if (!p) {
    msub__stream_reset(s, MSUB_ERR_NOMEM);
    return;
  }
  p->stream = s;
  p->sess = sess;
  msub_frames_init(&p->frames, &h->mem, h->o.engine.max_rpc,
                   h->o.engine.go_parity ? MSUB_FRAMES_GO_PARITY : 0);
  msub__list_init(&p->in_resume);
  msub__list_init(&p->of_sess);
  s->own = p;
  msub__list_push(&sess->inbound, &p->of_sess);
  sess->n_inbound++;
  if (sess->n_inbound > MSUB__HOST_PUBSUB_INBOUND) {
    msub__pubsub_in *oldest = MSUB__OF(sess->inbound.next, msub__pubsub_in, of_sess);
    msub__stream_reset(oldest->stream, MSUB_ERR_LIMIT);
  }
  msub__sess_heard(sess, c, protocol);
}

/* What the peer announced ends with its newest stream. */
static void in_end(msub__stream *s, int why) {
  (void)why;
  msub__pubsub_in *p = s->own;
  if (!p) return;
  msub__sess *sess = p->sess;
  msub_host *h = sess->peer->host;
  msub__list_remove(&p->of_sess);
  msub__list_remove(&p->in_resume);
  sess->n_inbound--;
  if (sess->half == p) sess->half = NULL;
  if (sess->newest == p) {
    sess->newest = NULL;
    msub__enter(h);
    if (sess->up) (void)msub_session_inbound_gone(h->engine, sess->handle, &h->now);
    msub__leave(h);
  }
  free_held(p);
  msub_frames_fini(&p->frames);
  msub__free(&h->mem, p, sizeof *p);
  msub__sess_unheard(sess);
}

/* The peer will not write here again. Our end says that its frames were handled: see msub__sess_finish(). */
static void in_fin(msub__stream *s) {
  msub__pubsub_in *p = s->own;
  if (p && p->sess->half == p)
    p->fin = true;
  else
    msub__stream_finish(s);
}

const msub__stream_ops msub__pubsub_in_ops = {
  .name = "pubsub in", .on_agreed = in_agreed, .on_data = in_data, .on_fin = in_fin, .on_end = in_end
};

/* ---- going on ---- */

/* The rest of the frame that the engine had not finished. */
static void finish_frame(msub__pubsub_in *p) {
  int r = receive(p, p->frame);
  if (r == MSUB_MORE) {
    stop_here(p);
    return;
  }
  p->sess->half = NULL;
  free_held(p);
  if (r == MSUB_ERR_MALFORMED || r == MSUB_ERR_LIMIT || r == MSUB_ERR_STALE)
    msub__stream_reset(p->stream, r);
  else if (p->fin)
    msub__stream_finish(p->stream);
  else
    stop_here(p); /* what came behind it, in the same turn */
}

bool msub__pubsub_in_waiting(const msub__conn *c) {
  for (size_t i = 0; i < c->peer->n_sess; i++) {
    const msub__sess *s = &c->peer->sess[i];
    for (msub__node *n = s->inbound.next; n != &s->inbound; n = n->next) {
      const msub__pubsub_in *p = MSUB__OF(n, msub__pubsub_in, of_sess);
      if (p->stream->conn == c && !msub__list_empty(&p->in_resume)) return true;
    }
  }
  return false;
}

bool msub__pubsub_in_resume(msub_host *h) {
  msub__node now;
  if (msub__list_empty(&h->resume) || msub__pubsub_in_throttled(h)) return false;
  msub__list_insert(&h->resume, &now); /* takes the whole list: what stops again waits for the next round */
  msub__list_remove(&h->resume);
  for (msub__node *n; (n = msub__list_first(&now));) {
    msub__pubsub_in *p = MSUB__OF(n, msub__pubsub_in, in_resume);
    msub__conn *c = p->stream->conn;
    msub__list_remove(n);
    if (c->failed) continue;
    if (p->sess->half == p)
      finish_frame(p);
    else if (p->sess->half)
      stop_here(p);
    else
      msub__yamux_read(p->stream->y);
    if (!c->failed && !c->credit && msub__yamux_reading(c->yamux)) msub__conn_resume(c);
    msub__conn_dirty(c); /* credit for the peer */
  }
  return !msub__list_empty(&h->resume);
}
