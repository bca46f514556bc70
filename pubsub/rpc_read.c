/* pubsub/rpc_read.c: the parts of an RPC that passed the scan. Everything is read with the same checks
 * again: on bytes that did not pass, the walk ends early and stays inside. */
#include "pubsub/rpc_wire.h"

/* msub_rpc_iter.stage: which of the merged parts are still to come. */
#define SAW_CONTROL 1u
#define SAW_EXTENSIONS 2u
#define SAW_PARTIAL 4u
#define SAW_TEST 8u

#define CONTROL_TAG 0x1au
#define EXTENSIONS_TAG 0x32u
#define PARTIAL_TAG 0x52u
#define TEST_TAG MSUB__TAG(MSUB__TEST_NUMBER, MSUB__LEN)

static uint64_t number_of(const msub__field *f) {
  uint64_t v = 0;
  (void)msub__rd_varint(f->value, f->end, &v);
  return v;
}

bool msub_ids_next(msub_ids *it, msub_bytes *id) {
  const uint8_t *p = it->p;
  while (p < it->end) {
    uint32_t tag;
    p = msub__rd_tag(p, it->end, &tag);
    if (!p) break;
    if (tag == MSUB__TAG(it->field, MSUB__LEN)) {
      p = msub__rd_len(p, it->end, id);
      if (!p) break;
      it->p = p;
      return true;
    }
    p = msub__skip_value(p, it->end, tag);
    if (!p) break;
  }
  it->p = it->end;
  return false;
}

bool msub_px_next(msub_px_iter *it, msub_px *px) {
  msub_ids entries = { it->p, it->end, 2 };
  bool more = msub_ids_next(&entries, &it->raw);
  it->p = entries.p;
  if (!more) return false;
  msub__walk w;
  msub__field f;
  *px = (msub_px){ { NULL, 0 }, { NULL, 0 } };
  msub__walk_begin(&w, it->raw, MSUB__S_PX);
  while (msub__walk_next(&w, &f)) {
    if (f.tag == 0x0a) px->peer_id = msub__body(&f);
    if (f.tag == 0x12) px->record = msub__body(&f);
  }
  return true;
}

void msub_rpc_begin(msub_rpc_iter *it, msub_bytes frame) {
  *it = (msub_rpc_iter){ .frame = frame, .p = frame.p };
}

/* A hello has hundreds of them: read without a walk's state. */
static msub_part subscription(msub_bytes raw, msub_rpc_part *out) {
  const uint8_t *p = raw.p, *end = msub__end(raw);
  out->has_topic = out->has_subscribe = out->has_requests_partial = out->has_sends_partial = false;
  out->subscribe = out->requests_partial = out->sends_partial = false;
  out->topic = (msub_bytes){ NULL, 0 };
  while (p < end) {
    uint32_t tag;
    uint64_t v;
    p = msub__rd_tag(p, end, &tag);
    if (!p) break;
    switch (tag) {
    case 0x08:
      if (!(p = msub__rd_varint(p, end, &v))) return MSUB_P_SUBSCRIPTION;
      out->has_subscribe = true;
      out->subscribe = v != 0;
      break;
    case 0x12:
      if (!(p = msub__rd_len(p, end, &out->topic))) return MSUB_P_SUBSCRIPTION;
      out->has_topic = true;
      break;
    case 0x18:
      if (!(p = msub__rd_varint(p, end, &v))) return MSUB_P_SUBSCRIPTION;
      out->has_requests_partial = true;
      out->requests_partial = v != 0;
      break;
    case 0x20:
      if (!(p = msub__rd_varint(p, end, &v))) return MSUB_P_SUBSCRIPTION;
      out->has_sends_partial = true;
      out->sends_partial = v != 0;
      break;
    default:
      if (!(p = msub__skip_value(p, end, tag))) return MSUB_P_SUBSCRIPTION;
    }
  }
  return MSUB_P_SUBSCRIPTION;
}

/* The last field 1 of an IHAVE or GRAFT. */
static void topic_of(msub_bytes raw, msub_rpc_part *out) {
  const uint8_t *p = raw.p, *end = msub__end(raw);
  out->has_topic = false;
  out->topic = (msub_bytes){ NULL, 0 };
  while (p < end) {
    uint32_t tag;
    p = msub__rd_tag(p, end, &tag);
    if (p && tag == 0x0a) {
      out->has_topic = true;
      p = msub__rd_len(p, end, &out->topic);
    } else if (p) {
      p = msub__skip_value(p, end, tag);
    }
    if (!p) return;
  }
}

static msub_part prune(msub_bytes raw, msub_rpc_part *out) {
  msub__walk w;
  msub__field f;
  out->has_topic = out->has_backoff = false;
  out->topic = (msub_bytes){ NULL, 0 };
  out->backoff_s = 0;
  out->px = (msub_px_iter){ raw.p, msub__end(raw), { NULL, 0 } };
  msub__walk_begin(&w, raw, MSUB__S_PRUNE);
  while (msub__walk_next(&w, &f)) {
    if (f.tag == 0x0a) {
      out->has_topic = true;
      out->topic = msub__body(&f);
    } else if (f.tag == 0x18) {
      out->has_backoff = true;
      out->backoff_s = number_of(&f);
    }
  }
  return MSUB_P_PRUNE;
}

/* The next part inside the control submessage that the walk stands in; MSUB_P_END: the submessage is at
 * its end. */
static msub_part next_control(msub_rpc_iter *it, msub_rpc_part *out) {
  while (it->ctl < it->ctl_end) {
    uint32_t tag;
    const uint8_t *p = msub__rd_tag(it->ctl, it->ctl_end, &tag);
    const uint8_t *value = p;
    if (p) p = msub__skip_value(p, it->ctl_end, tag);
    it->ctl = p ? p : it->ctl_end;
    if (!p || !msub__is_known(MSUB__S_CTL, tag)) continue;
    (void)msub__rd_len(value, p, &out->raw);
    out->ids = (msub_ids){ out->raw.p, msub__end(out->raw), 1 };
    switch (tag) {
    case 0x0a:
      out->ids.field = 2;
      topic_of(out->raw, out);
      return MSUB_P_IHAVE;
    case 0x12: return MSUB_P_IWANT;
    case 0x1a: topic_of(out->raw, out); return MSUB_P_GRAFT;
    case 0x22: return prune(out->raw, out);
    case 0x2a: return MSUB_P_IDONTWANT;
    default: it->stage |= SAW_EXTENSIONS;
    }
  }
  return MSUB_P_END;
}

static msub_part extensions(const msub_rpc_iter *it, msub_rpc_part *out) {
  msub__walk w;
  msub__field f;
  out->ext_partial = out->has_ext_partial = out->ext_test = out->has_ext_test = false;
  msub__walk_begin(&w, it->frame, MSUB__S_RPC);
  msub__walk_into(&w, CONTROL_TAG, MSUB__S_CTL);
  msub__walk_into(&w, EXTENSIONS_TAG, MSUB__S_EXT);
  while (msub__walk_next(&w, &f)) {
    if (f.tag == MSUB__TAG(10, MSUB__VARINT)) {
      out->has_ext_partial = true;
      out->ext_partial = number_of(&f) != 0;
    } else if (f.tag == MSUB__TAG(MSUB__TEST_NUMBER, MSUB__VARINT)) {
      out->has_ext_test = true;
      out->ext_test = number_of(&f) != 0;
    }
  }
  return MSUB_P_EXTENSIONS;
}

static msub_part partial(const msub_rpc_iter *it, msub_rpc_part *out) {
  msub__walk w;
  msub__field f;
  out->topic = out->group = out->part_message = out->parts_metadata = (msub_bytes){ NULL, 0 };
  msub__walk_begin(&w, it->frame, MSUB__S_RPC);
  msub__walk_into(&w, PARTIAL_TAG, MSUB__S_PARTIAL);
  while (msub__walk_next(&w, &f)) switch (f.tag) {
    case 0x0a: out->topic = msub__body(&f); break;
    case 0x12: out->group = msub__body(&f); break;
    case 0x1a: out->part_message = msub__body(&f); break;
    case 0x22: out->parts_metadata = msub__body(&f); break;
    default: break;
    }
  out->has_topic = out->topic.p != NULL;
  out->has_group = out->group.p != NULL;
  out->has_part_message = out->part_message.p != NULL;
  out->has_parts_metadata = out->parts_metadata.p != NULL;
  return MSUB_P_PARTIAL;
}

static msub_part merged(msub_rpc_iter *it, msub_rpc_part *out) {
  unsigned left = it->stage;
  it->stage &= it->stage - 1; /* the lowest bit is what comes now */
  out->raw = (msub_bytes){ NULL, 0 };
  if (left & SAW_CONTROL) return MSUB_P_CONTROL;
  if (left & SAW_EXTENSIONS) return extensions(it, out);
  if (left & SAW_PARTIAL) return partial(it, out);
  return left & SAW_TEST ? MSUB_P_TEST : MSUB_P_END;
}

static msub_part next(msub_rpc_iter *it, msub_rpc_part *out) {
  const uint8_t *end = msub__end(it->frame);
  for (;;) {
    msub_part part = next_control(it, out);
    if (part != MSUB_P_END) return part;
    if (it->p >= end) return merged(it, out);
    uint32_t tag;
    const uint8_t *at = it->p, *p = msub__rd_tag(at, end, &tag), *value = p;
    if (p) p = msub__skip_value(p, end, tag);
    it->p = p ? p : end;
    if (!p) continue;
    if (!msub__is_known(MSUB__S_RPC, tag)) {
      out->raw = (msub_bytes){ at, (size_t)(p - at) };
      out->field = (msub_field){ tag >> 3, (uint8_t)(tag & 7), { value, (size_t)(p - value) } };
      return MSUB_P_UNKNOWN;
    }
    (void)msub__rd_len(value, p, &out->raw);
    switch (tag) {
    case 0x0a: return subscription(out->raw, out);
    case 0x12:
      if (msub_msg_parse(out->raw, &out->msg) != MSUB_OK) break;
      return MSUB_P_MESSAGE;
    case CONTROL_TAG:
      it->stage |= SAW_CONTROL;
      it->ctl = out->raw.p;
      it->ctl_end = msub__end(out->raw);
      break;
    case PARTIAL_TAG: it->stage |= SAW_PARTIAL; break;
    default: it->stage |= SAW_TEST;
    }
  }
}

msub_part msub_rpc_next(msub_rpc_iter *it, msub_rpc_part *out) {
  out->kind = next(it, out);
  return out->kind;
}

/* ---- unknown fields ---- */

void msub_unknown_begin(msub_unknown *it, msub_bytes frame, const msub_rpc_part *part) {
  static const uint8_t shapes[] = {
    [MSUB_P_SUBSCRIPTION] = MSUB__S_SUB, [MSUB_P_MESSAGE] = MSUB__S_MSG, [MSUB_P_IHAVE] = MSUB__S_IHAVE,
    [MSUB_P_IWANT] = MSUB__S_IDS,        [MSUB_P_GRAFT] = MSUB__S_GRAFT, [MSUB_P_PRUNE] = MSUB__S_PRUNE,
    [MSUB_P_IDONTWANT] = MSUB__S_IDS,
  };
  msub_part kind = part ? part->kind : MSUB_P_END;
  if (kind >= MSUB_P_SUBSCRIPTION && kind <= MSUB_P_IDONTWANT) {
    msub__walk_begin(it, part->raw, shapes[kind]);
    return;
  }
  msub__walk_begin(it, frame, MSUB__S_RPC);
  switch (kind) {
  case MSUB_P_CONTROL: msub__walk_into(it, CONTROL_TAG, MSUB__S_CTL); break;
  case MSUB_P_EXTENSIONS:
    msub__walk_into(it, CONTROL_TAG, MSUB__S_CTL);
    msub__walk_into(it, EXTENSIONS_TAG, MSUB__S_EXT);
    break;
  case MSUB_P_PARTIAL: msub__walk_into(it, PARTIAL_TAG, MSUB__S_PARTIAL); break;
  case MSUB_P_TEST: msub__walk_into(it, TEST_TAG, MSUB__S_TEST); break;
  default: break;
  }
}

void msub_unknown_of_msg(msub_unknown *it, const msub_msg_view *v) {
  msub__walk_begin(it, v->raw, MSUB__S_MSG);
}
void msub_unknown_of_px(msub_unknown *it, const msub_px_iter *px) {
  msub__walk_begin(it, px->raw, MSUB__S_PX);
}

bool msub_unknown_next(msub_unknown *it, msub_field *out) {
  msub__field f;
  while (msub__walk_next(it, &f)) {
    if (msub__is_known(it->shape, f.tag)) continue;
    *out = (msub_field){ f.tag >> 3, (uint8_t)(f.tag & 7), { f.value, (size_t)(f.end - f.value) } };
    return true;
  }
  return false;
}
