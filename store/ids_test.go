package store

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestNewID(t *testing.T) {
	now := time.Unix(0x65000000, 0)
	seen := map[PersonID]bool{}
	for range 100 {
		id := NewID[PersonID](now)
		if got, err := ParseID[PersonID](string(id)); err != nil || got != id || !strings.HasPrefix(string(id), "65000000") {
			t.Fatalf("NewID made %q, %v", id, err)
		}
		if seen[id] {
			t.Fatalf("%s came twice", id)
		}
		seen[id] = true
	}
	if id := NewID[SiteID](now.Add(time.Second)); string(id) <= string(NewID[SiteID](now)) {
		t.Error("a later id sorts before an earlier one")
	}
}

func TestNewUUID(t *testing.T) {
	for range 100 {
		id := NewUUID[KeyID]()
		if got, err := ParseUUID[KeyID](string(id)); err != nil || got != id {
			t.Fatalf("NewUUID made %q, %v", id, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const id, uuid = "65000000a1b2c3d4e5f60718", "3c1f9c1e-6d0c-4f4e-8a52-6f9f5d1e7a10"
	for _, s := range []string{"", id[:23], id + "0", strings.ToUpper(id), "65000000a1b2c3d4e5f6071g", uuid, strings.Repeat("é", 12)} {
		if _, err := ParseID[PersonID](s); !errors.Is(err, ErrID) {
			t.Errorf("ParseID(%q): error %v, want ErrID", s, err)
		}
	}
	for _, s := range []string{"", uuid[:35], uuid + "0", strings.ToUpper(uuid), strings.ReplaceAll(uuid, "-", "_"), id,
		"3c1f9c1e-6d0c-1f4e-8a52-6f9f5d1e7a10", "3c1f9c1e-6d0c-4f4e-ca52-6f9f5d1e7a10", "{" + uuid[:34] + "}"} {
		if _, err := ParseUUID[KeyID](s); !errors.Is(err, ErrID) {
			t.Errorf("ParseUUID(%q): error %v, want ErrID", s, err)
		}
	}
}
