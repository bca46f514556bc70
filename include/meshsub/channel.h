/* meshsub/channel.h: how one topic behaves: a const vtable that the program hands over at msub_join(). Every hook may be NULL,
 * then the default in brackets holds. */
#ifndef MESHSUB_CHANNEL_H
#define MESHSUB_CHANNEL_H
#include "message.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a "false" of the world's deliver() means. DROP: the newest is lost to this program, counted, and still forwarded. REFUSE:
 * the message becomes THROTTLED: nothing is marked, so another copy of it is judged afresh. */
typedef enum msub_full { MSUB_FULL_DROP, MSUB_FULL_REFUSE } msub_full;

typedef struct msub_channel_policy {
  uint32_t abi, size; /* MSUB_ABI, sizeof(msub_channel_policy) */
  const char *name;   /* for logs; static */
  msub_full full;
  /* The id of a message: writes at most MSUB_MAX_ID bytes and returns how many; 0: the message has no id and is ignored. Total,
   * pure and bounded, and on purpose without a context: two engines with the same function share its results. `m` may be
   * borrowed. [from ‖ seqno, as go-libp2p-pubsub; under MSUB_STRICT_NO_SIGN there is no default and msub_join() answers INVAL] */
  size_t (*message_id)(const msub_msg *m, uint8_t out[MSUB_MAX_ID]);
} msub_channel_policy;

#ifdef __cplusplus
}
#endif
#endif
