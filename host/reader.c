/* host/reader.c: received bytes to records, records to yamux. */
#include <string.h>
#include "base/assert.h"
#include "host/conn.h"
#include "host/gate.h"
#include "host/upgrade.h"

static void drop_part(msub__conn *c) {
  msub__block_give(c->host, c->part);
  c->part = NULL;
}

static void use_plain(msub__conn *c, size_t n) {
  c->plain += n;
  c->plain_n -= n;
  if (c->plain_n == 0) {
    c->plain = NULL;
    if (c->part) drop_part(c);
  }
}

static void yamux_failed(msub__conn *c, int err) {
  const char *text = "yamux failed";
  switch (err) {
  case MSUB_ERR_MALFORMED: text = "malformed yamux data"; break;
  case MSUB_ERR_LIMIT: text = "too many resets or empty frames"; break;
  case MSUB_ERR_CLOSED: text = "the peer ended the session"; break;
  case MSUB_ERR_TIMEOUT: text = "the peer does not answer"; break;
  case MSUB_ERR_NOMEM: text = "out of memory"; break;
  default: break;
  }
  if (err == MSUB_ERR_MALFORMED || err == MSUB_ERR_LIMIT) {
    c->host->counts.protocol_faults++;
    msub__report(c->host, msub__noise_peer_id(c->noise), &c->remote, MSUB_R_MALFORMED_STREAM,
                 MSUB__HOST_BLAME_CONNECTION);
  }
  msub__conn_fail(c, err, text);
}

/* Shows the decrypted bytes to who reads them. false: it takes no more now. */
static bool feed(msub__conn *c) {
  size_t used = 0;
  msub_bytes in = { c->plain, c->plain_n };
  if (c->state == MSUB__CONN_MUXER) {
    used = msub__upgrade_input(c, in);
  } else {
    int err = msub__yamux_input(c->yamux, c->host->now.mono_ns, in, &used);
    if (err != MSUB_OK) yamux_failed(c, err);
  }
  use_plain(c, used);
  return used > 0 && !c->failed;
}

/* Takes bytes of the transport's buffer into the collected record, up to `size` bytes of it. */
static void collect(msub__conn *c, size_t size) {
  size_t n = size - c->part->n;
  if (n > c->in_n) n = c->in_n;
  memcpy(c->part->bytes + c->part->n, c->in, n);
  c->part->n += n;
  c->in += n;
  c->in_n -= n;
}

/* Anybody on the way may have changed it: counted, and nobody is blamed. */
static void bad_record(msub__conn *c, int err, const char *text) {
  c->host->counts.protocol_faults++;
  msub__conn_fail(c, err, text);
}

static void open_record(msub__conn *c, uint8_t *record, size_t n) {
  int err = msub__noise_open(c->noise, record, n, &c->plain, &c->plain_n);
  if (err != MSUB_OK) {
    c->plain = NULL;
    c->plain_n = 0;
    bad_record(c, err, "a record does not decrypt");
    return;
  }
  c->host->counts.records_in++;
  if (c->plain_n == 0) use_plain(c, 0);
}

/* Opens the next record. false: it is not whole. */
static bool next_record(msub__conn *c) {
  if (!c->part) {
    int size = msub__noise_record_size((msub_bytes){ c->in, c->in_n });
    if (size < 0) {
      bad_record(c, size, "a record is shorter than its tag");
      return false;
    }
    if (size > 0 && (size_t)size <= c->in_n) {
      uint8_t *record = c->in;
      c->in += size;
      c->in_n -= (size_t)size;
      open_record(c, record, (size_t)size);
      return true;
    }
    c->part = msub__block_take(c->host);
    if (!c->part) {
      msub__conn_fail(c, MSUB_ERR_NOMEM, "out of memory");
      return false;
    }
  }
  if (c->part->n < MSUB__NOISE_HEAD) collect(c, MSUB__NOISE_HEAD);
  int size = msub__noise_record_size((msub_bytes){ c->part->bytes, c->part->n });
  if (size < 0) {
    bad_record(c, size, "a record is shorter than its tag");
    return false;
  }
  if (size == 0) return false;
  collect(c, (size_t)size);
  if (c->part->n < (size_t)size) return false;
  open_record(c, c->part->bytes, (size_t)size);
  return true;
}

static bool sealed(const msub__conn *c) {
  return c->state == MSUB__CONN_MUXER || c->state == MSUB__CONN_OPEN;
}

static void use_input(msub__conn *c) {
  while (!c->failed) {
    if (c->plain_n > 0) {
      if (!feed(c)) return;
    } else if (c->in_n == 0) {
      return;
    } else if (!sealed(c)) {
      size_t used = msub__upgrade_input(c, (msub_bytes){ c->in, c->in_n });
      c->in += used;
      c->in_n -= used;
    } else if (!next_record(c)) {
      return;
    }
  }
}

void msub__conn_read(msub__conn *c) {
  use_input(c);
  if (c->failed) return;
  bool reads = c->state != MSUB__CONN_OPEN || msub__yamux_reading(c->yamux);
  if (c->in_n == 0 && c->plain_n == 0 && !c->credit && reads) {
    int err = c->host->tr->recv(c->host->tr_self, c->tr);
    if (err == MSUB_OK)
      c->credit = true;
    else if (err != MSUB_ERR_STALE)
      msub__conn_fail(c, err, "reading failed"); /* STALE: CLOSED is on its way */
  }
  /* yamux took less than all although it reads: a callback turned it off and on again */
  if (c->plain_n > 0 && reads) msub__conn_resume(c);
  if (c->state == MSUB__CONN_OPEN && msub__yamux_pending(c->yamux) > 0) msub__conn_dirty(c);
  msub__conn_rearm(c);
}

void msub__conn_resume(msub__conn *c) {
  if (!c->failed && msub__list_empty(&c->in_ready)) msub__list_push(&c->host->ready, &c->in_ready);
}

void msub__conn_readable(msub__conn *c, uint8_t *data, size_t n) {
  c->credit = false;
  c->host->counts.bytes_in += n;
  if (c->failed) return;
  MSUB__INVARIANT(c->in_n == 0);
  c->in = data;
  c->in_n = n;
  if (msub__gate_handshake(c)) msub__conn_read(c);
}
