package daemon

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTemperature(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a": "41000\n", "b": "52500\n", "c": "none", "d": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, ok := temperature(filepath.Join(dir, "*")); !ok || got != 52.5 {
		t.Errorf("%v, %v", got, ok)
	}
	if got, ok := temperature(filepath.Join(dir, "x*")); ok {
		t.Errorf("without a thermometer it is %v", got)
	}
}
