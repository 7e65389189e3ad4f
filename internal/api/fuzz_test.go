package api_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cypherface/edge/store"
)

// Whatever the body and its type, an operation answers with a status of the
// contract, and none that says the fault is ours.
func FuzzBodies(f *testing.F) {
	b := newBox(f, store.Sandbox)
	server := b.Public()
	paths := []string{"/register", "/users/5f0c0ffee0c0ffee0c0ffee0", "/upload/generate-url", "/face/match", "/face/detect", "/identify", "/access-token", "/upload/x"}
	picture := form("image", jpegOf(red))
	for i := range paths {
		f.Add(uint8(i), `{"firstname":"A","lastname":"B","email":"a@b.c","password":"12345678"}`, "application/json")
		f.Add(uint8(i), `{"userId":"5f0c0ffee0c0ffee0c0ffee0","imageName":"a","contentType":"image/png","type":"match"}`, "")
		f.Add(uint8(i), string(picture.data), picture.contentType)
		f.Add(uint8(i), `{"imageData":"data:;base64,/9j/4AAQ"}`, "application/json; charset=x")
		f.Add(uint8(i), `{"source":"camera"}`, "text/plain")
	}
	f.Fuzz(func(t *testing.T, i uint8, body, contentType string) {
		path := paths[int(i)%len(paths)]
		method := "POST"
		if strings.HasPrefix(path, "/users/") {
			method = "PUT"
		}
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Authorization", "Bearer "+b.apiKey)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
		}
	})
}
