/* pubsub/rpc_write.c: RPCs as they go out, and the canonical form of one that came in. */
#include "pubsub/rpc_wire.h"

/* ---- canonical ---- */

/* The canonical encoding of the message that the walk stands at the beginning of. out NULL: only its size.
 * The nesting is that of the schema, four levels. */
static size_t canonical(const msub__walk *from, uint8_t *out) {
  const msub__mdesc *d = &msub__schema[from->shape];
  msub__field last[MSUB__MAX_FIELDS], f;
  unsigned seen = 0;
  bool unknown = false;
  msub__walk w = *from;
  while (msub__walk_next(&w, &f)) {
    unsigned i = 0;
    while (i < d->n && d->f[i].tag != f.tag) i++;
    if (i < d->n) {
      seen |= 1u << i;
      last[i] = f;
    } else {
      unknown = true;
    }
  }
  size_t n = 0;
  for (unsigned i = 0; i < d->n; i++) {
    if (!(seen & 1u << i)) continue;
    uint32_t tag = d->f[i].tag;
    uint64_t v = 0;
    switch (d->f[i].how) {
    case MSUB__BYTES: {
      msub_bytes b = msub__body(&last[i]);
      n += msub__field_size(tag, b.n);
      if (out) out = msub__wr_field(out, tag, b);
      break;
    }
    case MSUB__BOOL:
    case MSUB__U64:
      (void)msub__rd_varint(last[i].value, last[i].end, &v);
      if (d->f[i].how == MSUB__BOOL) v = v != 0;
      n += msub__varint_size(tag) + msub__varint_size(v);
      if (out) out = msub__wr_varint(msub__wr_varint(out, tag), v);
      break;
    case MSUB__EACH:
      w = *from;
      while (msub__walk_next(&w, &f)) {
        if (f.tag != tag) continue;
        msub_bytes b = msub__body(&f);
        n += msub__field_size(tag, b.n);
        if (out) out = msub__wr_field(out, tag, b);
      }
      break;
    case MSUB__SUBS:
      w = *from;
      while (msub__walk_next(&w, &f)) {
        if (f.tag != tag) continue;
        msub__walk sub;
        msub__walk_begin(&sub, msub__body(&f), d->f[i].shape);
        size_t size = canonical(&sub, NULL);
        n += msub__field_size(tag, size);
        if (!out) continue;
        out = msub__wr_varint(msub__wr_varint(out, tag), size);
        out += canonical(&sub, out);
      }
      break;
    case MSUB__MERGED: {
      msub__walk sub = *from;
      msub__walk_into(&sub, tag, d->f[i].shape);
      size_t size = canonical(&sub, NULL);
      n += msub__field_size(tag, size);
      if (!out) break;
      out = msub__wr_varint(msub__wr_varint(out, tag), size);
      out += canonical(&sub, out);
      break;
    }
    default: break;
    }
  }
  if (!unknown) return n;
  w = *from;
  while (msub__walk_next(&w, &f)) {
    if (msub__is_known(from->shape, f.tag)) continue;
    msub_bytes value = { f.value, (size_t)(f.end - f.value) };
    n += msub__varint_size(f.tag) + value.n;
    if (out) out = msub__wr_bytes(msub__wr_varint(out, f.tag), value);
  }
  return n;
}

size_t msub_rpc_canonical(msub_bytes frame, uint8_t *out, size_t cap) {
  msub__walk w;
  msub__walk_begin(&w, frame, MSUB__S_RPC);
  size_t n = canonical(&w, NULL);
  if (out && n <= cap) (void)canonical(&w, out);
  return n;
}

/* ---- an RPC of ready pieces ---- */

size_t msub_rpc_size(const msub_rpc *rpc) {
  size_t n = rpc->ctl ? rpc->ctl->wire_n : 0;
  for (size_t i = 0; i < rpc->n_msgs; i++) n += msub__field_size(0x12, rpc->msgs[i]->wire_n);
  return n;
}

size_t msub_rpc_encode(const msub_rpc *rpc, uint8_t *out) {
  uint8_t *p = out;
  for (size_t i = 0; i < rpc->n_msgs; i++)
    p = msub__wr_field(p, 0x12, (msub_bytes){ msub_wire(rpc->msgs[i]), rpc->msgs[i]->wire_n });
  if (rpc->ctl) p = msub__wr_bytes(p, (msub_bytes){ rpc->ctl->wire, rpc->ctl->wire_n });
  return (size_t)(p - out);
}

/* ---- control ---- */

static size_t id_list_size(const msub_ctl_entry *e, uint32_t tag) {
  size_t n = 0;
  for (uint32_t i = 0; i < e->n_ids; i++) n += msub__field_size(tag, e->ids[i].n);
  return n;
}
static uint8_t *put_id_list(uint8_t *out, const msub_ctl_entry *e, uint32_t tag) {
  for (uint32_t i = 0; i < e->n_ids; i++) out = msub__wr_field(out, tag, e->ids[i]);
  return out;
}

static size_t px_size(const msub_px *px) {
  return msub__field_size(0x0a, px->peer_id.n) + (px->record.n ? msub__field_size(0x12, px->record.n) : 0);
}

/* The content of the extensions; out NULL: its size. */
static size_t ext_fields(bool partial, bool test, uint8_t *out) {
  const uint32_t test_tag = MSUB__TAG(MSUB__TEST_NUMBER, MSUB__VARINT);
  if (out && partial) out = msub__wr_varint(msub__wr_varint(out, 0x50), 1);
  if (out && test) (void)msub__wr_varint(msub__wr_varint(out, test_tag), 1);
  return (partial ? 2u : 0u) + (test ? msub__varint_size(test_tag) + 1 : 0);
}

/* The content of one entry; out NULL: its size. */
static size_t entry(const msub_ctl_entry *e, msub_bytes topic, uint8_t *out) {
  size_t n = 0;
  switch (e->kind) {
  case MSUB_C_SUB:
  case MSUB_C_UNSUB:
    n = 2 + msub__field_size(0x12, topic.n) + 4;
    if (!out) break;
    *out++ = 0x08;
    *out++ = e->kind == MSUB_C_SUB;
    out = msub__wr_field(out, 0x12, topic);
    *out++ = 0x18;
    *out++ = (e->flags & MSUB_SUB_REQUESTS_PARTIAL) != 0;
    *out++ = 0x20;
    *out++ = (e->flags & MSUB_SUB_SENDS_PARTIAL) != 0;
    break;
  case MSUB_C_IHAVE:
    n = msub__field_size(0x0a, topic.n) + id_list_size(e, 0x12);
    if (out) (void)put_id_list(msub__wr_field(out, 0x0a, topic), e, 0x12);
    break;
  case MSUB_C_IWANT:
  case MSUB_C_IDONTWANT:
    n = id_list_size(e, 0x0a);
    if (out) (void)put_id_list(out, e, 0x0a);
    break;
  case MSUB_C_GRAFT:
    n = msub__field_size(0x0a, topic.n);
    if (out) (void)msub__wr_field(out, 0x0a, topic);
    break;
  case MSUB_C_PRUNE:
    n = msub__field_size(0x0a, topic.n);
    for (unsigned i = 0; i < e->n_px; i++) n += msub__field_size(0x12, px_size(&e->px[i]));
    if (e->backoff_s) n += 1 + msub__varint_size(e->backoff_s);
    if (!out) break;
    out = msub__wr_field(out, 0x0a, topic);
    for (unsigned i = 0; i < e->n_px; i++) {
      out = msub__wr_varint(msub__wr_varint(out, 0x12), px_size(&e->px[i]));
      out = msub__wr_field(out, 0x0a, e->px[i].peer_id);
      if (e->px[i].record.n) out = msub__wr_field(out, 0x12, e->px[i].record);
    }
    if (e->backoff_s) (void)msub__wr_varint(msub__wr_varint(out, 0x18), e->backoff_s);
    break;
  case MSUB_C_EXTENSIONS: n = ext_fields((e->flags & MSUB_EXT_PARTIAL) != 0, (e->flags & MSUB_EXT_TEST) != 0, out); break;
  default: break;
  }
  return n;
}

/* Entries of one kind are written together, so that the fields ascend. UNSUB shares SUB's list: these two
 * stay in the order that they were given in. */
static const struct {
  uint8_t kind, also, tag;
} lists[] = {
  { MSUB_C_SUB, MSUB_C_UNSUB, 0x0a },   { MSUB_C_IHAVE, MSUB_C_IHAVE, 0x0a },
  { MSUB_C_IWANT, MSUB_C_IWANT, 0x12 }, { MSUB_C_GRAFT, MSUB_C_GRAFT, 0x1a },
  { MSUB_C_PRUNE, MSUB_C_PRUNE, 0x22 }, { MSUB_C_IDONTWANT, MSUB_C_IDONTWANT, 0x2a },
  { MSUB_C_EXTENSIONS, MSUB_C_EXTENSIONS, 0x32 },
};
#define N_LISTS (sizeof lists / sizeof *lists)

static size_t put_list(size_t which, const msub_ctl_entry *e, const msub_bytes *names, size_t n,
                       uint8_t *out) {
  size_t total = 0;
  for (size_t i = 0; i < n; i++) {
    if (e[i].kind != lists[which].kind && e[i].kind != lists[which].also) continue;
    if (msub__ctl_is_shared(&e[i])) {
      msub_bytes field = msub__ctl_field(&e[i]);
      total += field.n;
      if (out) out = msub__wr_bytes(out, field);
      continue;
    }
    size_t size = entry(&e[i], names[i], NULL);
    total += msub__field_size(lists[which].tag, size);
    if (!out) continue;
    out = msub__wr_varint(msub__wr_varint(out, lists[which].tag), size);
    out += entry(&e[i], names[i], out);
  }
  return total;
}

/* PARTIAL and TEST, which stand beside the control field. */
static size_t put_beside(const msub_ctl_entry *e, const msub_bytes *names, size_t n, uint8_t *out) {
  size_t total = 0;
  for (unsigned kind = MSUB_C_PARTIAL; kind <= MSUB_C_TEST; kind++)
    for (size_t i = 0; i < n; i++) {
      if (e[i].kind != kind) continue;
      size_t size;
      if (kind == MSUB_C_TEST) size = msub_test_encode(out, SIZE_MAX);
      else {
        msub_rpc_part part = { .topic = names[i], .has_topic = true };
        part.has_group = e[i].n_ids > 0;
        part.has_part_message = e[i].n_ids > 1 && e[i].ids[1].n;
        part.has_parts_metadata = e[i].n_ids > 2 && e[i].ids[2].n;
        if (part.has_group) part.group = e[i].ids[0];
        if (part.has_part_message) part.part_message = e[i].ids[1];
        if (part.has_parts_metadata) part.parts_metadata = e[i].ids[2];
        size = msub_partial_encode(&part, out, SIZE_MAX);
      }
      if (out) out += size;
      total += size;
    }
  return total;
}

/* One entry that is no extension's: what most RPCs carry. */
static size_t encode_one(const msub_ctl_entry *e, msub_bytes topic, uint8_t *out, size_t cap) {
  uint8_t tag = lists[0].tag;
  bool outside = e->kind == MSUB_C_SUB || e->kind == MSUB_C_UNSUB;
  for (size_t i = 1; i < N_LISTS && !outside; i++)
    if (lists[i].kind == e->kind) tag = lists[i].tag;
  size_t size = entry(e, topic, NULL), field = msub__field_size(tag, size);
  size_t total = outside ? field : msub__field_size(0x1a, field);
  if (!out || total > cap) return total;
  if (!outside) out = msub__wr_varint(msub__wr_varint(out, 0x1a), field);
  (void)entry(e, topic, msub__wr_varint(msub__wr_varint(out, tag), size));
  return total;
}

size_t msub_ctl_encode(const msub_ctl_entry *e, const msub_bytes *names, size_t n, uint8_t *out, size_t cap) {
  if (n == 1 && e->kind < MSUB_C_PARTIAL && !msub__ctl_is_shared(e)) return encode_one(e, names[0], out, cap);
  uint32_t kinds = 0; /* mostly there is one */
  size_t size[N_LISTS] = { 0 }, ctl = 0, beside = 0;
  for (size_t i = 0; i < n; i++) kinds |= 1u << (e[i].kind & 31);
  for (size_t i = 0; i < N_LISTS; i++)
    if (kinds & (1u << lists[i].kind | 1u << lists[i].also)) size[i] = put_list(i, e, names, n, NULL);
  for (size_t i = 1; i < N_LISTS; i++) ctl += size[i];
  if (kinds & (1u << MSUB_C_PARTIAL | 1u << MSUB_C_TEST)) beside = put_beside(e, names, n, NULL);
  size_t total = size[0] + (ctl ? msub__field_size(0x1a, ctl) : 0) + beside;
  if (!out || total > cap) return total;
  if (size[0]) out += put_list(0, e, names, n, out);
  if (ctl) out = msub__wr_varint(msub__wr_varint(out, 0x1a), ctl);
  for (size_t i = 1; i < N_LISTS; i++)
    if (size[i]) out += put_list(i, e, names, n, out);
  if (beside) (void)put_beside(e, names, n, out);
  return total;
}

/* ---- extensions ---- */

size_t msub_ext_encode(bool partial, bool test, uint8_t *out, size_t cap) {
  size_t ext = ext_fields(partial, test, NULL), n = msub__field_size(0x1a, msub__field_size(0x32, ext));
  if (!out || n > cap) return n;
  out = msub__wr_varint(msub__wr_varint(out, 0x1a), msub__field_size(0x32, ext));
  out = msub__wr_varint(msub__wr_varint(out, 0x32), ext);
  (void)ext_fields(partial, test, out);
  return n;
}

size_t msub_test_encode(uint8_t *out, size_t cap) {
  const uint32_t tag = MSUB__TAG(MSUB__TEST_NUMBER, MSUB__LEN);
  size_t n = msub__field_size(tag, 0);
  if (out && n <= cap) (void)msub__wr_varint(msub__wr_varint(out, tag), 0);
  return n;
}

size_t msub_partial_encode(const msub_rpc_part *part, uint8_t *out, size_t cap) {
  const msub_bytes f[4] = { part->topic, part->group, part->part_message, part->parts_metadata };
  const bool has[4] = { part->has_topic, part->has_group, part->has_part_message, part->has_parts_metadata };
  size_t body = 0;
  for (uint32_t i = 0; i < 4; i++)
    if (has[i]) body += msub__field_size(MSUB__TAG(i + 1, MSUB__LEN), f[i].n);
  size_t n = msub__field_size(0x52, body);
  if (!out || n > cap) return n;
  out = msub__wr_varint(msub__wr_varint(out, 0x52), body);
  for (uint32_t i = 0; i < 4; i++)
    if (has[i]) out = msub__wr_field(out, MSUB__TAG(i + 1, MSUB__LEN), f[i]);
  return n;
}
