#include "turbo.h"

#include <dlfcn.h>
#include <stddef.h>

enum { STOP_ON_WARNING = 8192 }; // TJFLAG_STOPONWARNING: half a picture is no picture

static cf_turbo (*init_decompress)(void);
static int (*header3)(cf_turbo, const unsigned char *, unsigned long, int *, int *, int *, int *);
static int (*to_planes)(cf_turbo, const unsigned char *, unsigned long, unsigned char **,
                        int, int *, int, int);
static int (*plane_width)(int, int, int);
static int (*plane_height)(int, int, int);

int cf_turbo_load(void) {
  void *lib = dlopen("libturbojpeg.so.0", RTLD_NOW | RTLD_LOCAL);
  if (lib == NULL) return 0;
  init_decompress = dlsym(lib, "tjInitDecompress");
  header3 = dlsym(lib, "tjDecompressHeader3");
  to_planes = dlsym(lib, "tjDecompressToYUVPlanes");
  plane_width = dlsym(lib, "tjPlaneWidth");
  plane_height = dlsym(lib, "tjPlaneHeight");
  return init_decompress && header3 && to_planes && plane_width && plane_height;
}

cf_turbo cf_turbo_open(void) { return init_decompress(); }

int cf_turbo_header(cf_turbo d, const unsigned char *jpeg, unsigned long size,
                    int *w, int *h, int *sampling, int *space) {
  return header3(d, jpeg, size, w, h, sampling, space);
}

int cf_turbo_planes(cf_turbo d, const unsigned char *jpeg, unsigned long size,
                    unsigned char *y, unsigned char *cb, unsigned char *cr,
                    int ystride, int cstride) {
  unsigned char *planes[3] = {y, cb, cr};
  int strides[3] = {ystride, cstride, cstride};
  return to_planes(d, jpeg, size, planes, 0, strides, 0, STOP_ON_WARNING);
}

int cf_turbo_width(int plane, int w, int sampling) { return plane_width(plane, w, sampling); }
int cf_turbo_height(int plane, int h, int sampling) { return plane_height(plane, h, sampling); }
