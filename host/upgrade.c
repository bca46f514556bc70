#define _DEFAULT_SOURCE /* explicit_bzero */
#include <string.h>
#include "host/upgrade.h"

#define KEEP_MAX                                                                                             \
  (MSUB__NOISE_HANDSHAKE_MAX > MSUB__MSS_LINE_MAX + 2 ? MSUB__NOISE_HANDSHAKE_MAX : MSUB__MSS_LINE_MAX + 2)
#define NOISE_ID "/noise"

static bool accepts(void *ud, msub_bytes token) {
  const msub__upgrade *u = ud;
  return msub_bytes_eq(token, u->proposal);
}

int msub__upgrade_new(msub__conn *c, const msub_peer_id *expect) {
  msub__upgrade *u = msub__zalloc(&c->host->mem, 1, sizeof *u);
  if (!u) return MSUB_ERR_NOMEM;
  if (expect) u->expect = *expect;
  u->muxer = msub_str(MSUB__YAMUX_ID);
  c->up = u;
  return MSUB_OK;
}

void msub__upgrade_free(msub__conn *c) {
  if (!c->up) return;
  msub__buf_fini(&c->up->keep, &c->host->mem);
  msub__free(&c->host->mem, c->up, sizeof *c->up);
  c->up = NULL;
}

/* Appends to what is sent next; inside the channel as a record. */
static int say(msub__conn *c, const uint8_t *p, size_t n) {
  bool seal = c->state == MSUB__CONN_MUXER;
  uint8_t *room = msub__buf_reserve(&c->raw, &c->host->mem, n + (seal ? MSUB__NOISE_OVERHEAD : 0));
  if (!room) return MSUB_ERR_NOMEM;
  memcpy(room + (seal ? MSUB__NOISE_HEAD : 0), p, n);
  int size = seal ? msub__noise_seal(c->noise, room, n) : (int)n;
  if (size < 0) return size;
  c->raw.end += (size_t)size;
  msub__conn_dirty(c);
  return MSUB_OK;
}

static void drain(msub__conn *c) {
  uint8_t line[sizeof c->up->mss.out];
  size_t n = msub__mss_output(&c->up->mss, line, sizeof line);
  int err = n > 0 ? say(c, line, n) : MSUB_OK;
  if (err != MSUB_OK) msub__conn_fail(c, err, msub_err_text(err));
}

static void negotiate(msub__conn *c, const char *protocol) {
  msub__upgrade *u = c->up;
  u->proposal = msub_str(protocol);
  if (!c->outbound)
    msub__mss_listen(&u->mss, accepts, u);
  else if (msub__mss_dial(&u->mss, &u->proposal, 1) != MSUB_OK)
    msub__conn_fail(c, MSUB_ERR_INVAL, "no proposal");
  if (c->outbound) drain(c);
}

/* ---- Noise ---- */

static int noise_new(msub__conn *c) {
  uint8_t secrets[2][32];
  int err = msub__random(&secrets[0][0], sizeof secrets);
  if (err != MSUB_OK) return err;
  msub__noise_options o = { .mem = &c->host->mem,
                            .kit = c->host->kit,
                            .identity = c->host->o.key,
                            .expect = msub_peer_id_bytes(&c->up->expect),
                            .muxers = &c->up->muxer,
                            .n_muxers = 1,
                            .initiator = c->outbound,
                            .key_types = c->host->o.key_types,
                            .rsa_bits = c->host->o.rsa_bits,
                            .static_secret = secrets[0],
                            .ephemeral_secret = secrets[1] };
  err = msub__noise_new(&o, &c->noise);
  explicit_bzero(secrets, sizeof secrets);
  return err;
}

static int noise_write(msub__conn *c) {
  uint8_t *room = msub__buf_reserve(&c->raw, &c->host->mem, MSUB__NOISE_HANDSHAKE_MAX);
  if (!room) return MSUB_ERR_NOMEM;
  int n = msub__noise_output(c->noise, room, MSUB__NOISE_HANDSHAKE_MAX);
  if (n < 0) return n;
  c->raw.end += (size_t)n;
  msub__conn_dirty(c);
  return MSUB_OK;
}

static void fail(msub__conn *c, int err) {
  const char *text = "the Noise handshake failed";
  if (err == MSUB_ERR_MISMATCH)
    text = "the peer is not the one that was dialled";
  else if (err == MSUB_ERR_NOMEM)
    text = "out of memory";
  else if (err == MSUB_ERR_UNSUPPORTED)
    text = "the peer's key is of a kind that is not taken here";
  msub__conn_fail(c, err, text);
}

/* READY: on to yamux, settled already or to be asked for. */
static void secured(msub__conn *c) {
  msub__buf_fini(&c->up->keep, &c->host->mem);
  if (msub__noise_muxer(c->noise) >= 0) {
    msub__conn_open(c);
    return;
  }
  c->state = MSUB__CONN_MUXER;
  negotiate(c, MSUB__YAMUX_ID);
}

static size_t noise_step(msub__conn *c, msub_bytes in) {
  size_t used = 0;
  int err = msub__noise_input(c->noise, in, &used);
  if (err == MSUB_OK && msub__noise_turn_of(c->noise) == MSUB__NOISE_WRITE) err = noise_write(c);
  if (err != MSUB_OK)
    fail(c, err);
  else if (msub__noise_turn_of(c->noise) == MSUB__NOISE_READY)
    secured(c);
  return used;
}

/* ---- multistream ---- */

static void agreed(msub__conn *c) {
  if (c->state == MSUB__CONN_MUXER) {
    msub__conn_open(c);
    return;
  }
  c->state = MSUB__CONN_HANDSHAKE;
  if (c->noise) return; /* the dialer sent its first message early */
  int err = noise_new(c);
  if (err != MSUB_OK) fail(c, err);
}

static size_t mss_step(msub__conn *c, msub_bytes in) {
  size_t used = 0;
  msub__mss_event e = msub__mss_input(&c->up->mss, in, &used);
  if (e == MSUB__MSS_FAILED) {
    msub__conn_fail(c, MSUB_ERR_MALFORMED, c->up->mss.why);
    return used;
  }
  drain(c);
  if (e == MSUB__MSS_AGREED && !c->failed) agreed(c);
  return used;
}

static size_t step(msub__conn *c, msub_bytes in) {
  return c->state == MSUB__CONN_HANDSHAKE ? noise_step(c, in) : mss_step(c, in);
}

void msub__upgrade_begin(msub__conn *c) {
  c->state = MSUB__CONN_SECURITY;
  negotiate(c, NOISE_ID);
  if (!c->outbound || c->failed) return;
  int err = noise_new(c);
  if (err == MSUB_OK) err = noise_write(c);
  if (err != MSUB_OK) fail(c, err);
}

/* What is kept was no whole unit, so a unit that ends now ends in the new bytes. */
static size_t step_joined(msub__conn *c, msub_bytes in) {
  msub__buf *keep = &c->up->keep;
  size_t old = msub__buf_len(keep), room = KEEP_MAX - old, n = in.n < room ? in.n : room;
  if (n == 0) {
    msub__conn_fail(c, MSUB_ERR_MALFORMED, "a handshake message is too long");
    return 0;
  }
  if (msub__buf_append(keep, &c->host->mem, (msub_bytes){ in.p, n }) != MSUB_OK) {
    msub__conn_fail(c, MSUB_ERR_NOMEM, "out of memory");
    return 0;
  }
  msub__buf joined = *keep; /* taken out: a step may end the upgrade and with it `keep` */
  *keep = (msub__buf){ .p = NULL };
  size_t used = step(c, msub__buf_unread(&joined));
  if (used <= old && !c->failed && c->up) {
    *keep = joined;
    msub__buf_consume(keep, used);
    return n;
  }
  msub__buf_fini(&joined, &c->host->mem);
  return used > old ? used - old : n;
}

size_t msub__upgrade_input(msub__conn *c, msub_bytes in) {
  msub__conn_state first = c->state;
  bool sealed = first == MSUB__CONN_MUXER;
  size_t at = 0;
  while (at < in.n && !c->failed && c->state < MSUB__CONN_OPEN && (c->state == MSUB__CONN_MUXER) == sealed) {
    msub_bytes rest = { in.p + at, in.n - at };
    if (msub__buf_len(&c->up->keep) > 0) {
      at += step_joined(c, rest);
      continue;
    }
    size_t used = step(c, rest);
    at += used;
    if (used == 0 && !c->failed) at += step_joined(c, rest); /* keeps it */
  }
  return at;
}
