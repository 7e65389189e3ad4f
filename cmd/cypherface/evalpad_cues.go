package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/attack"
)

// cueColumns come before those of the cues.
var cueColumns = []string{"species", "mode", "victim", "frames", "rules"}

func cueHead() []string {
	head := slices.Clone(cueColumns)
	for _, c := range liveness.Cues() {
		head = append(head, c.String())
	}
	return head
}

// cueWriter writes a line for each attempt, when it is there.
type cueWriter struct {
	f *os.File
	w *csv.Writer
}

func newCueWriter(name string) (*cueWriter, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("write cues: %w", err)
	}
	c := &cueWriter{f, csv.NewWriter(f)}
	if err := c.w.Write(cueHead()); err != nil {
		f.Close()
		return nil, fmt.Errorf("write cues: %w", err)
	}
	return c, nil
}

// write does nothing for nil.
func (c *cueWriter) write(t trial) error {
	if c == nil {
		return nil
	}
	mode := "passive"
	if t.active {
		mode = "active"
	}
	line := []string{string(t.species), mode, strconv.FormatInt(t.victim, 10), strconv.Itoa(t.frames), strings.Join(t.broken, "+")}
	for _, v := range t.measures {
		line = append(line, strconv.FormatFloat(v, 'g', 5, 64))
	}
	c.w.Write(line)
	c.w.Flush()
	if err := c.w.Error(); err != nil {
		return fmt.Errorf("write cues: %w", err)
	}
	return nil
}

func (c *cueWriter) close() { c.f.Close() }

// readCues reads what a cueWriter wrote, of one file or several parted by commas.
func readCues(names string) ([]trial, error) {
	var all []trial
	for name := range strings.SplitSeq(names, ",") {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read cues: %w", err)
		}
		trials, err := parseCues(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("read cues %s: %w", name, err)
		}
		all = append(all, trials...)
	}
	return all, nil
}

func parseCues(r io.Reader) ([]trial, error) {
	c := csv.NewReader(r)
	head, err := c.Read()
	if err != nil {
		return nil, err
	}
	if !slices.Equal(head, cueHead()) {
		return nil, fmt.Errorf("its columns are not those of this version: measure again")
	}
	var out []trial
	for {
		line, err := c.Read()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		t := trial{species: attack.Species(line[0]), active: line[1] == "active"}
		if t.victim, err = strconv.ParseInt(line[2], 10, 64); err != nil {
			return nil, err
		}
		if t.frames, err = strconv.Atoi(line[3]); err != nil {
			return nil, err
		}
		if line[4] != "" {
			t.broken = strings.Split(line[4], "+")
		}
		for i := range t.measures {
			if t.measures[i], err = strconv.ParseFloat(line[len(cueColumns)+i], 64); err != nil {
				return nil, err
			}
		}
		out = append(out, t)
	}
}
