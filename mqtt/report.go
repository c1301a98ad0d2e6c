package mqtt

import (
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// Bounds of reporting. A download changes the status several times a second, and each document costs its size
// on a link that may be metered.
const (
	// newsEvery is the least time between two documents that say something new.
	newsEvery = time.Second
	// progressEvery is the least time between two that differ only in how far something has come.
	progressEvery = 30 * time.Second
)

// A report keeps what the broker was last told in this session. Its zero value is ready: the first document is
// news.
type report struct {
	news, progress string    // of the last document
	sentAt         time.Time // zero: nothing was sent yet
}

// due says how long to wait before s is to be published; ok is false where s says nothing that the broker was
// not told. A poll that found nothing new is nothing new either: each document costs its size, on a million links.
func (r *report) due(s agent.Status, now time.Time) (wait time.Duration, ok bool, err error) {
	if r.sentAt.IsZero() {
		return 0, true, nil
	}
	news, progress, err := parts(s)
	if err != nil {
		return 0, false, err
	}
	every := newsEvery
	switch {
	case news == r.news && progress == r.progress:
		return 0, false, nil
	case news == r.news:
		every = progressEvery
	}
	return max(0, r.sentAt.Add(every).Sub(now)), true, nil
}

// published remembers that the broker acknowledged s.
func (r *report) published(s agent.Status, now time.Time) (err error) {
	r.news, r.progress, err = parts(s)
	r.sentAt = now
	return err
}

// parts returns what of s is news when it changes, and what tells how far something has come. The rest,
// figures that move by themselves or with each poll, is in each document, and no reason for one.
func parts(s agent.Status) (news, progress string, err error) {
	s.Seq, s.Time.Effective, s.Time.Floor = 0, time.Time{}, time.Time{}
	s.Counters, s.Budget = agent.Counters{}, nil
	s.Repository.Checks, s.Repository.LastSuccess, s.Repository.LastCheck = 0, time.Time{}, nil
	if s.MQTT != nil {
		mqtt := *s.MQTT
		mqtt.LastWake = time.Time{}
		s.MQTT = &mqtt
	}
	var moving []any
	s.Components = slices.Clone(s.Components)
	for i := range s.Components {
		c := &s.Components[i]
		moving = append(moving, c.Progress)
		c.Progress, c.Spent, c.Gates = nil, nil, agent.StillGates(c.Gates)
		if c.Condition != nil {
			condition := *c.Condition
			moving = append(moving, condition.Percent)
			condition.Percent, c.Condition = nil, &condition
		}
	}
	document, err := json.Marshal(figureless(reflect.ValueOf(s)).Interface())
	if err != nil {
		return "", "", err
	}
	figures, err := json.Marshal(moving)
	return string(document), string(figures), err
}

// figureless returns a copy of v in which each duration (agent.Seconds) is 0, since it counts by itself, and
// each problem without the time of its last occurrence. It goes by the type, so that a duration that is added
// to the document later makes no device publish each second.
func figureless(v reflect.Value) reflect.Value {
	switch {
	case v.Type() == reflect.TypeFor[agent.Seconds]():
		return reflect.Zero(v.Type())
	case v.Type() == reflect.TypeFor[agent.Problem]():
		p := v.Interface().(agent.Problem)
		p.At = time.Time{}
		return reflect.ValueOf(p)
	case v.Kind() == reflect.Pointer && !v.IsNil():
		p := reflect.New(v.Type().Elem())
		p.Elem().Set(figureless(v.Elem()))
		return p
	case v.Kind() == reflect.Slice && !v.IsNil():
		s := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			s.Index(i).Set(figureless(v.Index(i)))
		}
		return s
	case v.Kind() == reflect.Struct:
		s := reflect.New(v.Type()).Elem()
		s.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				s.Field(i).Set(figureless(v.Field(i)))
			}
		}
		return s
	}
	return v
}
