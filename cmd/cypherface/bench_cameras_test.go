package main

import (
	"encoding/json"
	"testing"
)

func TestBenchCameras(t *testing.T) {
	var r camerasReport
	if err := json.Unmarshal([]byte(mustCLI(t, "bench", "--cameras", "--json", "--packs", testPacks, "--seconds", "2")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 3 || r.Rows[2].Cameras != 4 || len(r.Rows[2].Rate) != 4 {
		t.Fatalf("rows %+v", r.Rows)
	}
	for _, row := range r.Rows {
		if row.CPU <= 0 || row.Latency.P50 <= 0 || row.Latency.P95 < row.Latency.P50 || row.PerCamera > row.CPU {
			t.Errorf("row %+v", row)
		}
		for _, rate := range row.Rate {
			if rate <= 0 {
				t.Errorf("%d cameras: one got nothing: %v", row.Cameras, row.Rate)
			}
		}
	}
}
