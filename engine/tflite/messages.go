//go:build cgo

package tflite

/*
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

static FILE *cf_outside;
static char *cf_text;
static size_t cf_size;

// The library writes through C's stderr, a variable; Go writes to the
// descriptor. Exchanging the variable catches the one and not the other.
static void cf_catch(void) {
  FILE *text = open_memstream(&cf_text, &cf_size);
  if (text == NULL) return;
  cf_outside = stderr;
  stderr = text;
}

static char *cf_caught(void) {
  if (cf_outside == NULL) return NULL;
  fclose(stderr);
  stderr = cf_outside;
  cf_outside = NULL;
  return cf_text;
}
*/
import "C"

import (
	"strings"
	"sync"
	"unsafe"
)

// catching serialises what exchanges stderr.
var catching sync.Mutex

// quietly runs fn, which calls the library, and returns what the library would
// have written to standard error: its reasons, which its status codes lack.
func quietly(fn func()) string {
	catching.Lock()
	defer catching.Unlock()
	C.cf_catch()
	fn()
	text := C.cf_caught()
	defer C.free(unsafe.Pointer(text))
	return strings.TrimSpace(C.GoString(text))
}

// reasons picks from the library's messages what is not merely information.
func reasons(messages string) string {
	var out []string
	for line := range strings.Lines(messages) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "INFO:") {
			out = append(out, strings.TrimPrefix(line, "ERROR: "))
		}
	}
	return strings.Join(out, "; ")
}
