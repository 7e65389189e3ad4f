package models_test

import (
	"testing"

	"github.com/cypherface/edge/models"
)

func TestBuiltinManifestsParse(t *testing.T) {
	all, err := models.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Name != "standard" || all[1].Name != "basic" {
		t.Fatalf("got %d packs, want standard and basic", len(all))
	}
	if all[0].Space == all[1].Space {
		t.Errorf("both packs claim space %s", all[0].Space)
	}
}
