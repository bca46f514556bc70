#include "host/addrs.h"
#include "host/handlers.h"
#include "host/identify.h"
#include "host/observed.h"
#include "host/peers.h"

#define OWN_PROTOCOLS (8u + MSUB__GROUPS * MSUB__GROUP_IDS + MSUB__HOST_EXCHANGE_PROTOCOLS)
#define RECORD_MAX 2048u /* a signed record of all our addresses; more of it would not fit into the answer   \
                          */
#define PROTOCOL_VERSION "ipfs/0.1.0" /* what stock peers say; nobody decides anything by it */

/* ---- what we say ---- */

static size_t seal_record(msub_host *h, const msub_bytes *addrs, size_t n, uint8_t *out, size_t cap) {
  /* A record that is too large is left out: the addresses themselves are still told. */
  size_t size = msub_peer_record_seal(h->o.key, h->record_seq, addrs, n, MSUB_RECORD_GO, out, cap);
  return size <= cap ? size : 0;
}

size_t msub_host_record(void *host, msub_record_dialect dialect, uint8_t *out, size_t cap) {
  msub_host *h = host;
  msub_multiaddr own[MSUB__IDENTIFY_ADDRS_MAX];
  msub_bytes addrs[MSUB__IDENTIFY_ADDRS_MAX];
  size_t n = msub__addr_own(h, own, MSUB__IDENTIFY_ADDRS_MAX);
  for (size_t i = 0; i < n; i++) addrs[i] = (msub_bytes){ own[i].bytes, own[i].n };
  return n > 0 ? msub_peer_record_seal(h->o.key, h->record_seq, addrs, n, dialect, out, cap) : 0;
}

static int answer(msub__stream *s) {
  msub__conn *c = s->conn;
  msub_host *h = c->host;
  msub_multiaddr own[MSUB__IDENTIFY_ADDRS_MAX], observed;
  msub_bytes addrs[MSUB__IDENTIFY_ADDRS_MAX], protocols[OWN_PROTOCOLS];
  uint8_t record[RECORD_MAX], out[MSUB__IDENTIFY_OWN_MAX];
  size_t n = msub__addr_own(h, own, MSUB__IDENTIFY_ADDRS_MAX), spare;
  for (size_t i = 0; i < n; i++) addrs[i] = (msub_bytes){ own[i].bytes, own[i].n };
  msub__addr_multi(&c->remote, (msub_bytes){ NULL, 0 }, &observed);
  msub__identify_own say = { .key = msub_key_public(h->o.key),
                             .observed = { observed.bytes, observed.n },
                             .protocol_version = msub_str(PROTOCOL_VERSION),
                             .agent = msub_str(h->agent),
                             .record = { record, seal_record(h, addrs, n, record, sizeof record) },
                             .protocols = protocols,
                             .n_protocols = msub__handlers_list(h, protocols, OWN_PROTOCOLS, &spare),
                             .addrs = addrs,
                             .n_addrs = n };
  int size = msub__identify_encode(&h->mem, &say, out, sizeof out);
  if (size == MSUB_ERR_LIMIT) { /* the addresses are told beside it */
    say.record = (msub_bytes){ NULL, 0 };
    size = msub__identify_encode(&h->mem, &say, out, sizeof out);
  }
  for (; size == MSUB_ERR_LIMIT && spare > 0; spare--) { /* a program may serve longer names than the answer holds */
    say.n_protocols--;
    size = msub__identify_encode(&h->mem, &say, out, sizeof out);
  }
  return size < 0 ? size : msub__stream_write(s, (msub_bytes){ out, (size_t)size });
}

static void say(msub__stream *s) {
  int err = answer(s);
  if (err != MSUB_OK) {
    msub__stream_reset(s, err);
    return;
  }
  msub__stream_finish(s);
  msub__stream_deadline(s, MSUB__IDENTIFY_NS);
}

static void serve_agreed(msub__stream *s, msub_bytes protocol) {
  (void)protocol;
  s->conn->identify_in++;
  s->own = s->conn;
  say(s);
}

static void serve_end(msub__stream *s, int why) {
  (void)why;
  if (s->own) s->conn->identify_in--;
}

const msub__stream_ops msub__identify_serve_ops = { .name = "identify",
                                                    .on_agreed = serve_agreed,
                                                    .on_end = serve_end };

/* ---- what the peer says ---- */

typedef struct reading {
  msub__identify_reader reader;
  bool push;
} reading;

static reading *reading_new(msub__conn *c, bool push) {
  reading *r = msub__zalloc(&c->host->mem, 1, sizeof *r);
  if (!r) return NULL;
  msub__identify_reader_init(&r->reader, &c->host->mem);
  r->push = push;
  return r;
}

static void reading_end(msub__stream *s, int why) {
  (void)why;
  reading *r = s->own;
  if (!r) return;
  if (r->push) s->conn->push_in--;
  msub__identify_reader_fini(&r->reader);
  msub__free(&s->conn->host->mem, r, sizeof *r);
}

/* Takes over what came: a push leaves out what did not change. */
static int learn(msub__conn *c, const reading *r, msub__identify *said) {
  msub_host *h = c->host;
  msub__peer *p = c->peer;
  msub__identify *known = said;
  if (r->push) {
    int err = msub__identify_merge(&h->mem, p->known, said, &known);
    msub__identify_free(&h->mem, said);
    if (err != MSUB_OK) return err;
  }
  if (known->present & MSUB__IDENTIFY_OBSERVED) msub__observed_hear(c, known->observed);
  msub__peer_learn(p, known);
  msub_host_event ev = { .kind = MSUB_EV_IDENTIFIED,
                         .peer_id = msub__peer_bytes(p),
                         .outbound = c->outbound,
                         .text = p->text ? p->text : "" };
  msub__emit(h, &ev);
  for (size_t i = 0; i < p->n_sess && !c->failed; i++) msub__sess_identified(&p->sess[i], c);
  return MSUB_OK;
}

static size_t reading_data(msub__stream *s, msub_bytes in) {
  reading *r = s->own;
  int err = msub__identify_reader_input(&r->reader, in);
  if (err == MSUB_ERR_NOMEM)
    msub__stream_reset(s, err);
  else if (err != MSUB_OK)
    msub__stream_fault(s, "what identify says is too long or malformed");
  return in.n;
}

static void reading_fin(msub__stream *s) {
  reading *r = s->own;
  msub__conn *c = s->conn;
  msub__identify *said = NULL;
  int err = msub__identify_reader_finish(&r->reader, &said);
  if (err == MSUB_ERR_MALFORMED || err == MSUB_ERR_LIMIT) {
    msub__stream_fault(s, "what identify says is malformed");
    return;
  }
  if (err == MSUB_OK) err = learn(c, r, said);
  if (err != MSUB_OK) {
    msub__stream_reset(s, err);
    return;
  }
  msub__stream_finish(s);
}

/* ---- push ---- */

/* One token now and then; a few may come in a row. */
static bool push_allowed(msub__peer *p) {
  uint64_t now = p->host->now.mono_ns, gained = (now - p->push_at) / MSUB__IDENTIFY_PUSH_NS;
  p->push_at += gained * MSUB__IDENTIFY_PUSH_NS;
  p->pushes =
      gained >= MSUB__HOST_PUSH_BURST - p->pushes ? MSUB__HOST_PUSH_BURST : p->pushes + (unsigned)gained;
  if (p->pushes == 0) return false;
  p->pushes--;
  return true;
}

static void push_agreed(msub__stream *s, msub_bytes protocol) {
  (void)protocol;
  reading *r = push_allowed(s->conn->peer) ? reading_new(s->conn, true) : NULL;
  if (!r) {
    msub__stream_reset(s, MSUB_ERR_LIMIT);
    return;
  }
  s->own = r;
  s->conn->push_in++;
  msub__stream_deadline(s, MSUB__IDENTIFY_NS);
}

const msub__stream_ops msub__identify_push_ops = { .name = "identify push",
                                                   .on_agreed = push_agreed,
                                                   .on_data = reading_data,
                                                   .on_fin = reading_fin,
                                                   .on_end = reading_end };

static void tell_agreed(msub__stream *s, msub_bytes protocol) {
  (void)protocol;
  say(s);
}

static const msub__stream_ops tell_ops = { .name = "identify push", .on_agreed = tell_agreed };

/* What we sign next is newer than all before, whatever the wall clock does. */
void msub__record_renew(msub_host *h) {
  h->record_seq = (uint64_t)h->now.wall_ns > h->record_seq ? (uint64_t)h->now.wall_ns : h->record_seq + 1;
}

static void tell_all(msub__timer *t) {
  msub_host *h = MSUB__OF(t, msub_host, push.timer);
  h->push.told_at = h->now.mono_ns;
  msub__record_renew(h);
  for (size_t i = 0; i < h->n_peers && !h->stopping; i++) {
    const msub__peer *p = h->peers[i];
    msub__conn *c = msub__peer_newest(p);
    msub__stream *s;
    if (!c || !p->known || !msub__identify_supports(p->known, msub_str(MSUB__IDENTIFY_PUSH_ID))) continue;
    if (msub__stream_dial(c, msub_str(MSUB__IDENTIFY_PUSH_ID), &tell_ops, NULL, &s) == MSUB_OK) h->counts.pushes++;
  }
}

/* After a pause for what changes together; not sooner after the last one than we would listen ourselves. */
void msub__identify_changed(msub_host *h) {
  if (h->n_peers == 0 || h->stopping || msub__timer_running(&h->push.timer)) return;
  uint64_t at = msub__deadline(h->now.mono_ns, MSUB__HOST_PUSH_WAIT_NS);
  uint64_t soonest = h->push.told_at ? msub__deadline(h->push.told_at, MSUB__IDENTIFY_PUSH_NS) : 0;
  msub__timer_start(h->wheel, &h->push.timer, at > soonest ? at : soonest);
}

void msub__identify_init(msub_host *h) { msub__timer_init(&h->push.timer, tell_all); }

/* ---- asking ---- */

static void ask_agreed(msub__stream *s, msub_bytes protocol) {
  (void)protocol;
  msub__stream_deadline(s, MSUB__IDENTIFY_NS);
}

static const msub__stream_ops ask_ops = { .name = "identify",
                                          .on_agreed = ask_agreed,
                                          .on_data = reading_data,
                                          .on_fin = reading_fin,
                                          .on_end = reading_end };

void msub__identify_ask(msub__conn *c) {
  msub__stream *s;
  reading *r = reading_new(c, false);
  if (!r) return;
  if (msub__stream_dial(c, msub_str(MSUB__IDENTIFY_ID), &ask_ops, r, &s) == MSUB_OK) return;
  msub__identify_reader_fini(&r->reader);
  msub__free(&c->host->mem, r, sizeof *r);
}
