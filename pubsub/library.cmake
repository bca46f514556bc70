# libmeshsub: the engine and what it stands on.
msub_library(meshsub PARTS base multiformats store pubsub routers judges LIBS)
