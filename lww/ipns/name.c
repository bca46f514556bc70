/* lww/ipns/name.c: a name in the forms in which it is met. */
#include "meshsub/ipns.h"
#include "meshsub/multibase.h"
#include <string.h>

static const char path[] = "/ipns/", topic_of[] = "/record/";
#define PATH (sizeof path - 1)
#define TOPIC (sizeof topic_of - 1)

int msub_ipns_name_parse(const char *text, msub_peer_id *out) {
  if (strncmp(text, path, PATH) == 0) text += PATH;
  return msub_peer_id_parse(text, out);
}

/* CIDv1, codec libp2p-key. */
char *msub_ipns_name_text(msub_bytes name, char out[MSUB_IPNS_NAME_TEXT]) {
  uint8_t cid[2 + MSUB_PEER_ID_MAX] = { 1, 0x72 };
  size_t n = 0;
  out[0] = '\0';
  if (msub_peer_id_check(name) != MSUB_OK || name.n > MSUB_PEER_ID_MAX) return out;
  memcpy(cid + 2, name.p, name.n);
  if (msub_multibase_encode('k', (msub_bytes){ cid, 2 + name.n }, out, MSUB_IPNS_NAME_TEXT - 1, &n) == MSUB_OK) out[n] = '\0';
  return out;
}

size_t msub_ipns_key(msub_bytes name, uint8_t out[MSUB_IPNS_KEY_MAX]) {
  if (msub_peer_id_check(name) != MSUB_OK || name.n > MSUB_PEER_ID_MAX) return 0;
  memcpy(out, path, PATH);
  memcpy(out + PATH, name.p, name.n);
  return PATH + name.n;
}

int msub_ipns_key_parse(msub_bytes key, msub_peer_id *out) {
  if (key.n <= PATH || memcmp(key.p, path, PATH) != 0) return MSUB_ERR_MALFORMED;
  msub_bytes name = { key.p + PATH, key.n - PATH };
  int rc = msub_peer_id_check(name);
  if (rc == MSUB_OK) *out = msub_peer_id_of(name);
  return rc;
}

char *msub_ipns_topic(msub_bytes name, char out[MSUB_IPNS_TOPIC_TEXT]) {
  uint8_t key[MSUB_IPNS_KEY_MAX];
  size_t n = msub_ipns_key(name, key), chars = 0;
  out[0] = '\0';
  if (!n || msub_base_encode('u', (msub_bytes){ key, n }, out + TOPIC, MSUB_IPNS_TOPIC_TEXT - 1 - TOPIC, &chars) != MSUB_OK) return out;
  memcpy(out, topic_of, TOPIC);
  out[TOPIC + chars] = '\0';
  return out;
}

int msub_ipns_topic_parse(msub_bytes topic, msub_peer_id *out) {
  uint8_t key[MSUB_IPNS_KEY_MAX];
  size_t n;
  if (topic.n <= TOPIC || memcmp(topic.p, topic_of, TOPIC) != 0) return MSUB_ERR_MALFORMED;
  if (msub_base_decode('u', (msub_bytes){ topic.p + TOPIC, topic.n - TOPIC }, key, sizeof key, &n) != MSUB_OK) return MSUB_ERR_MALFORMED;
  return msub_ipns_key_parse((msub_bytes){ key, n }, out);
}
