#include <string.h>
#include "meshsub/peer_id.h"
#include "meshsub/multibase.h"
#include "multiformats/multihash.h"
#include "multiformats/varint.h"

#define KEY_MAX 42u /* a longer encoded key is named by its hash */
#define CODEC_LIBP2P_KEY 0x72u

int msub_peer_id_check(msub_bytes b) {
  msub__multihash h;
  if (msub__multihash_parse(b, &h) != MSUB_OK) return MSUB_ERR_MALFORMED;
  if (h.code == MSUB__MH_SHA2_256) return MSUB_OK;
  return h.code == MSUB__MH_IDENTITY && h.digest.n > 0 && h.digest.n <= KEY_MAX ? MSUB_OK
                                                                                : MSUB_ERR_MALFORMED;
}

msub_peer_id msub_peer_id_of(msub_bytes b) {
  msub_peer_id id = { .n = 0 };
  if (b.n == 0 || b.n > MSUB_PEER_ID_MAX) return id;
  memcpy(id.bytes, b.p, b.n);
  id.n = (uint8_t)b.n;
  return id;
}

static int set(msub_peer_id *out, msub_bytes id) {
  if (msub_peer_id_check(id) != MSUB_OK) return MSUB_ERR_MALFORMED;
  *out = msub_peer_id_of(id);
  return MSUB_OK;
}

int msub_peer_id_parse(const char *text, msub_peer_id *out) {
  uint8_t raw[MSUB_PEER_ID_MAX + 8];
  size_t n;
  msub_bytes t = msub_str(text);
  if (t.n == 0 || t.n > 2 * sizeof raw + 1) return MSUB_ERR_MALFORMED;
  /* Every peer id begins with 00 or 12 20, so its base58 text with 1 or Qm; no multibase prefix in use does.
   */
  if (t.p[0] == '1' || (t.n >= 2 && t.p[0] == 'Q' && t.p[1] == 'm')) {
    if (msub_base_decode('z', t, raw, sizeof raw, &n) != MSUB_OK) return MSUB_ERR_MALFORMED;
    return set(out, (msub_bytes){ raw, n });
  }
  if (t.p[0] == 'u' || msub_multibase_decode(t, raw, sizeof raw, &n) != MSUB_OK) return MSUB_ERR_MALFORMED;
  msub_bytes cid = { raw, n };
  uint64_t version, codec;
  if (!msub__uvarint_take(&cid, &version) || version != 1) return MSUB_ERR_MALFORMED;
  if (!msub__uvarint_take(&cid, &codec) || codec != CODEC_LIBP2P_KEY) return MSUB_ERR_MALFORMED;
  return set(out, cid);
}

char *msub_peer_id_text(msub_bytes id, char out[MSUB_PEER_ID_TEXT]) {
  size_t n;
  if (msub_peer_id_check(id) == MSUB_OK &&
      msub_base_encode('z', id, out, MSUB_PEER_ID_TEXT - 1, &n) == MSUB_OK) {
    out[n] = 0;
    return out;
  }
  const size_t most = (MSUB_PEER_ID_TEXT - 4) / 2;
  msub_bytes head = { id.p, id.n > most ? most : id.n };
  if (msub_base_encode('f', head, out, MSUB_PEER_ID_TEXT - 4, &n) != MSUB_OK) n = 0;
  memcpy(out + n, "...", 4);
  if (head.n == id.n) out[n] = 0;
  return out;
}
