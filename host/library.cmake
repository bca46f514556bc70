# Made once the libraries below it are there.
if(TARGET meshsub AND TARGET meshsub-crypto AND TARGET msub_wire AND TARGET msub_routers)
  msub_library(meshsub-host PARTS host wire HIDDEN base LIBS meshsub meshsub-crypto)
endif()
