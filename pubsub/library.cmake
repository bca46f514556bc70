# libmeshsub: the engine and what it stands on.
msub_library(meshsub PARTS base multiformats store store_keys pubsub routers judges LIBS)
