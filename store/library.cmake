# libmeshsub-store: the store on disk. Who needs none of it does not get LMDB.
if(TARGET meshsub AND TARGET msub_store_disk)
  msub_library(meshsub-store PARTS store_disk HIDDEN base store_keys LIBS meshsub)
endif()
