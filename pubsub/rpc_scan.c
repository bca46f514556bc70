/* pubsub/rpc_scan.c: one walk over a received RPC that decides whether it may be looked at, before
 * anything is created. */
#include "pubsub/rpc_wire.h"

typedef struct scan {
  msub_rpc_limits lim; /* SIZE_MAX: off */
  msub_rpc_counts *c;
} scan;

static int refuse(scan *s, int err, const char *why) {
  s->c->why = why;
  return err;
}
static int malformed(scan *s, const char *why) { return refuse(s, MSUB_ERR_MALFORMED, why); }
static int over(scan *s, const char *limit) { return refuse(s, MSUB_ERR_LIMIT, limit); }

/* A message without lists. */
static bool scan_flat(scan *s, msub_bytes b, msub__shape shape) {
  const uint8_t *p = b.p, *end = msub__end(b);
  while (p < end) {
    uint32_t tag;
    p = msub__rd_tag(p, end, &tag);
    if (!p) return false;
    p = msub__skip_value(p, end, tag);
    if (!p) return false;
    if (!msub__is_known(shape, tag)) s->c->unknown++;
  }
  return true;
}

/* A publish entry: checked as msub_msg_parse() does, without keeping the fields.
 * `excepted`: length and bytes of the first data field. */
static bool scan_msg(scan *s, msub_bytes b, size_t *excepted) {
  const uint8_t *p = b.p, *end = msub__end(b);
  size_t except = 0;
  while (p < end) {
    uint32_t tag;
    p = msub__rd_tag(p, end, &tag);
    if (!p) return false;
    const uint8_t *value = p;
    p = msub__skip_value(p, end, tag);
    if (!p) return false;
    if (tag == 0x12 && except == 0) except = (size_t)(p - value); /* at least its length byte */
    if (!msub__is_known(MSUB__S_MSG, tag)) s->c->unknown++;
  }
  *excepted = except;
  return true;
}

/* IHAVE, IWANT, IDONTWANT: the lists that a flood is made of. */
static int scan_ids(scan *s, msub_bytes b, msub__shape shape, uint32_t id_tag, const char *why) {
  const uint8_t *p = b.p, *end = msub__end(b);
  size_t n = 0;
  while (p < end) {
    uint32_t tag;
    p = msub__rd_tag(p, end, &tag);
    if (!p) return malformed(s, why);
    if (tag == id_tag) {
      msub_bytes id;
      p = msub__rd_len(p, end, &id);
      if (!p) return malformed(s, why);
      n++;
      if (id.n > s->lim.id_bytes) return over(s, "id_bytes");
    } else {
      p = msub__skip_value(p, end, tag);
      if (!p) return malformed(s, why);
      if (!msub__is_known(shape, tag)) s->c->unknown++;
    }
  }
  s->c->ids += n;
  return MSUB_OK;
}

static bool scan_prune(scan *s, msub_bytes b) {
  const uint8_t *p = b.p, *end = msub__end(b);
  while (p < end) {
    uint32_t tag;
    p = msub__rd_tag(p, end, &tag);
    if (!p) return false;
    if (tag == 0x12) {
      msub_bytes px;
      p = msub__rd_len(p, end, &px);
      if (!p || !scan_flat(s, px, MSUB__S_PX)) return false;
      s->c->px++;
    } else {
      p = msub__skip_value(p, end, tag);
      if (!p) return false;
      if (!msub__is_known(MSUB__S_PRUNE, tag)) s->c->unknown++;
    }
  }
  return true;
}

static int scan_control(scan *s, msub_bytes ctl) {
  s->c->control++;
  const uint8_t *p = ctl.p, *end = msub__end(ctl);
  while (p < end) {
    uint32_t tag;
    p = msub__rd_tag(p, end, &tag);
    if (!p) return malformed(s, "control");
    if (!msub__is_known(MSUB__S_CTL, tag)) {
      p = msub__skip_value(p, end, tag);
      if (!p) return malformed(s, "control");
      s->c->unknown++;
      continue;
    }
    msub_bytes b;
    int err = MSUB_OK;
    p = msub__rd_len(p, end, &b);
    if (!p) return malformed(s, "control");
    switch (tag) {
    case 0x0a:
      s->c->ihave++;
      err = scan_ids(s, b, MSUB__S_IHAVE, 0x12, "ihave");
      break;
    case 0x12:
      s->c->iwant++;
      err = scan_ids(s, b, MSUB__S_IDS, 0x0a, "iwant");
      break;
    case 0x1a:
      s->c->graft++;
      if (!scan_flat(s, b, MSUB__S_GRAFT)) err = malformed(s, "graft");
      break;
    case 0x22:
      s->c->prune++;
      if (!scan_prune(s, b)) err = malformed(s, "prune");
      break;
    case 0x2a:
      s->c->idontwant++;
      err = scan_ids(s, b, MSUB__S_IDS, 0x0a, "idontwant");
      break;
    default:
      s->c->extensions++;
      if (!scan_flat(s, b, MSUB__S_EXT)) err = malformed(s, "extensions");
    }
    if (err != MSUB_OK) return err;
  }
  return MSUB_OK;
}

static size_t or_off(size_t limit) { return limit ? limit : SIZE_MAX; }

int msub_rpc_scan(msub_bytes frame, const msub_rpc_limits *lim, msub_rpc_counts *out) {
  static const msub_rpc_limits none;
  if (!lim) lim = &none;
  *out = (msub_rpc_counts){ 0 };
  scan s = { .lim = { or_off(lim->frame_bytes), or_off(lim->control_bytes), or_off(lim->publish),
                      or_off(lim->message_bytes), or_off(lim->subscriptions), or_off(lim->id_bytes) },
             .c = out };
  if (frame.n > s.lim.frame_bytes) return over(&s, "frame_bytes");
  const uint8_t *p = frame.p, *end = msub__end(frame);
  while (p < end) {
    const uint8_t *at = p;
    uint32_t tag;
    msub_bytes b;
    p = msub__rd_tag(p, end, &tag);
    if (!p) return malformed(&s, "field");

    if (tag == MSUB__TAG(2, MSUB__LEN)) {
      size_t excepted;
      p = msub__rd_len(p, end, &b);
      if (!p) return malformed(&s, "publish");
      if (++out->publish > s.lim.publish) return over(&s, "publish");
      if (b.n > s.lim.message_bytes) return over(&s, "message_bytes");
      if (!scan_msg(&s, b, &excepted)) return malformed(&s, "publish");
      out->control_bytes += (size_t)(p - at) - excepted;
      if (out->control_bytes > s.lim.control_bytes) return over(&s, "control_bytes");
      continue;
    }
    /* The decoder alone would keep it as unknown; the reference's size check reads it as an entry and
     * fails. */
    if (tag >> 3 == 2) return malformed(&s, "publish in another wire type");

    const uint8_t *value = p;
    p = msub__skip_value(p, end, tag);
    if (!p) return malformed(&s, "field");
    if (tag >> 3 != 10) out->control_bytes += (size_t)(p - at);
    /* Before the lists inside are looked at. */
    if (out->control_bytes > s.lim.control_bytes) return over(&s, "control_bytes");
    if (!msub__is_known(MSUB__S_RPC, tag)) {
      out->unknown++;
      continue;
    }
    (void)msub__rd_len(value, p, &b);
    int err = MSUB_OK;
    switch (tag) {
    case 0x0a:
      if (++out->subscriptions > s.lim.subscriptions) return over(&s, "subscriptions");
      if (!scan_flat(&s, b, MSUB__S_SUB)) return malformed(&s, "subscription");
      break;
    case 0x1a: err = scan_control(&s, b); break;
    case 0x52:
      out->partial++;
      if (!scan_flat(&s, b, MSUB__S_PARTIAL)) return malformed(&s, "partial");
      break;
    default:
      out->test++;
      if (!scan_flat(&s, b, MSUB__S_TEST)) return malformed(&s, "test extension");
    }
    if (err != MSUB_OK) return err;
  }
  return MSUB_OK;
}
