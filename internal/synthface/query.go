package synthface

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// settings are a demo camera's parameters.
type settings struct {
	cast          []*Person
	width, height int
	fps           int
	room          int64
	attack        attack
	answers       []Act // that are to be ready
}

// parseQuery reads the parameters of OpenDemo.
func parseQuery(q url.Values) (settings, error) {
	s := settings{cast: Cast(), width: 640, height: 480, fps: 10}
	for name, values := range q {
		value := values[len(values)-1]
		if !s.parse(name, value) {
			return s, fmt.Errorf("open demo camera: %w: %s=%s", ErrQuery, name, value)
		}
	}
	return s, nil
}

// parse reads one parameter; false where it is unknown or out of range.
func (s *settings) parse(name, value string) bool {
	n, numErr := strconv.Atoi(value)
	switch name {
	case "person":
		return s.parsePerson(value)
	case "fps":
		s.fps = n
		return numErr == nil && n >= 1 && n <= 30
	case "size":
		w, h, ok := strings.Cut(value, "x")
		var werr, herr error
		s.width, werr = strconv.Atoi(w)
		s.height, herr = strconv.Atoi(h)
		return ok && werr == nil && herr == nil && s.width >= 64 && s.width <= 1920 && s.height >= 48 && s.height <= 1440
	case "room":
		s.room = int64(n)
		return numErr == nil
	case "attack":
		s.attack = attack(value)
		return s.attack == printAttack || s.attack == bentAttack || s.attack == screenAttack
	}
	return false
}

// parsePerson picks one of the cast by number, from 1, or by name.
func (s *settings) parsePerson(value string) bool {
	for i, p := range s.cast {
		if strings.EqualFold(value, p.Name) || value == strconv.Itoa(i+1) {
			s.cast = []*Person{p}
			return true
		}
	}
	return false
}

// key is the clip of a person's act; of nobody's, where p is nil.
func (s *settings) key(p *Person, a Act) clipKey {
	k := clipKey{attack: s.attack, act: a, width: s.width, height: s.height, fps: s.fps, room: s.room}
	if p != nil {
		k.person = p.Seed
	} else {
		k.attack = noAttack
	}
	return k
}

// acts is what a visitor must be able to do.
func (s *settings) acts() []Act { return slices.Concat(visit, s.answers) }

// script is all the clips that are to be ready, in the order in which they are
// needed.
func (s *settings) script() []clipKey {
	var keys []clipKey
	for _, p := range s.cast {
		seen := map[Act]bool{}
		for _, a := range s.acts() {
			if !seen[a] {
				keys = append(keys, s.key(p, a))
			}
			seen[a] = true
		}
	}
	return keys
}

// wanted says whether a file belongs to this demo.
func (s *settings) wanted(file string) bool {
	for _, k := range s.script() {
		if k.file() == file {
			return true
		}
	}
	return s.key(nil, Empty).file() == file
}
