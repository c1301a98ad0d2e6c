package agent

import (
	"reflect"
	"testing"
	"time"
)

// atRest says of each field of a record what becomes of it when the record comes to rest. A new field must be
// given its place here: what is kept by mistake belongs to another release, and what is forgotten by mistake
// was somebody's wish, or protected the device.
var atRest = map[string]string{
	"Schema": "set", "Component": "kept", "Phase": "set",
	// What the update that ended was about, and how far it had come.
	"Release": "cleared", "Hook": "cleared", "Reboot": "cleared", "Carried": "cleared", "TargetSlot": "cleared", "BootID": "cleared", "TrialFrom": "cleared",
	"Starts": "cleared", "Acted": "cleared", "Begun": "cleared", "Local": "cleared", "Attempts": "cleared", "LostBoots": "cleared", "BlindBoots": "cleared",
	"RebootedIn": "cleared", "Back": "cleared", "Offline": "cleared", "Unreached": "cleared", "Verdict": "cleared", "Cause": "cleared", "Spent": "cleared",
	"Doubted": "cleared", // it is found out anew
	// What is asked of the repository yet, and what makes the next attempt wait.
	"Unreachable": "kept", "UnreachableBoot": "kept", "Setback": "kept", "Cuts": "kept but for Lived",
	// What the device runs and may go back to, and what it does not take up again.
	"Confirmed": "kept", "ConfirmedSlot": "kept", "Degraded": "kept", "Previous": "kept", "PreviousSlot": "kept", "Rejected": "kept", "Held": "kept",
	"Unlisted": "kept",
	// What people asked for, until it is done, and for how long gates have held it back. To cancel is done then.
	"RollbackAsked": "kept", "RetryAsked": "kept", "Deferral": "kept", "CancelAsked": "cleared",
}

// fill sets every field of a value to something that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8:
		v.SetUint(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(testNow))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i))
			}
		}
	}
}

// fullRecord is a record in which nothing is zero.
func fullRecord(t *testing.T) Record {
	t.Helper()
	var r Record
	v := reflect.ValueOf(&r).Elem()
	fill(v)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Fatalf("the test can't fill field %s", v.Type().Field(i).Name)
		}
	}
	return r
}

// wantRest compares a record at rest with the one before, but for the fields that the step itself is about.
func wantRest(t *testing.T, name string, before, after Record, about ...string) {
	t.Helper()
	own := map[string]bool{}
	for _, field := range about {
		own[field] = true
	}
	b, a := reflect.ValueOf(before), reflect.ValueOf(after)
	for i := range b.NumField() {
		field := b.Type().Field(i).Name
		was, is := b.Field(i).Interface(), a.Field(i).Interface()
		kept, cleared := reflect.DeepEqual(was, is), a.Field(i).IsZero()
		switch fate := atRest[field]; {
		case own[field], fate == "set":
		case fate == "kept" && !kept, fate == "cleared" && !cleared:
			t.Errorf("%s: %s was %+v and is %+v; it must be %s", name, field, was, is, fate)
		case fate == "kept but for Lived" && after.Cuts != (Cuts{ID: before.Cuts.ID, Count: before.Cuts.Count, Against: before.Cuts.Against, At: before.Cuts.At}):
			t.Errorf("%s: %s was %+v and is %+v", name, field, was, is)
		case fate == "":
			t.Errorf("nobody says what becomes of %s at rest: give it its place in atRest", field)
		}
	}
	if after.Phase != Idle || after.Schema != RecordSchema {
		t.Errorf("%s: phase %s, schema %d", name, after.Phase, after.Schema)
	}
}

// TestEveryFieldAtRest comes to rest in each way that there is.
func TestEveryFieldAtRest(t *testing.T) {
	for field := range atRest {
		if _, ok := reflect.TypeFor[Record]().FieldByName(field); !ok {
			t.Errorf("the record has no field %s any more", field)
		}
	}
	r := fullRecord(t)
	resting := r
	resting.rest()
	wantRest(t, "rest", r, resting)

	at := func(p Phase) Record {
		r := fullRecord(t)
		r.Phase, r.Release, r.Confirmed, r.Rejected, r.Held = p, releaseV2, releaseV3, nil, nil
		r.TargetSlot, r.ConfirmedSlot, r.PreviousSlot, r.Back = "B", "A", "B", false
		return r
	}
	end := func(name string, r Record, a Action, p *Problem, about ...string) {
		a.Now, a.BootID = testNow, "boot-2"
		wantRest(t, name, r, Step(r, a, p), about...)
	}
	for _, p := range []Phase{Fetching, Staged, Writing} {
		end("dropped in "+string(p), at(p), Action{Kind: Drop}, nil)
	}
	refused := &Problem{Reason: ReasonHookRefused}
	end("refused by the hook", at(Writing), Action{Kind: Install}, refused, "Rejected")
	end("confirmed", at(Confirming), Action{Kind: Finish}, nil,
		"Confirmed", "ConfirmedSlot", "Previous", "PreviousSlot", "Degraded", "Unreachable", "UnreachableBoot", "Setback", "Cuts")
	verdict, none := at(Rejecting), at(Rejecting)
	end("rejected", verdict, Action{Kind: Settle}, nil, "Rejected", "UnreachableBoot", "Cuts")
	none.Verdict = nil
	end("back without a verdict", none, Action{Kind: Settle}, nil, "Setback", "UnreachableBoot")
	back := at(Rejecting)
	back.Back = true
	end("a rollback that came back", back, Action{Kind: Settle}, nil, "Rejected", "Previous", "PreviousSlot", "UnreachableBoot", "Cuts")
}

// TestWishesEndWithWhatTheyAskFor: a wish outlives what it has to wait for, and ends with what it asks for,
// not before and not later.
func TestWishesEndWithWhatTheyAskFor(t *testing.T) {
	asked := func(p Phase) Record {
		r := Record{Component: "rootfs", Phase: p, Confirmed: releaseV3, ConfirmedSlot: "A", Previous: releaseV2, PreviousSlot: "B", RollbackAsked: true, RetryAsked: true}
		if p != Idle {
			r.Release, r.TargetSlot = releaseV2, "B"
		}
		return r
	}
	for name, c := range map[string]struct {
		r               Record
		a               Action
		rollback, retry bool
	}{
		"a download that a rollback ends":      {asked(Fetching), Action{Kind: Drop}, true, true},
		"the rollback begins":                  {asked(Idle), Action{Kind: RollBack}, false, true},
		"the rollback can't be done":           {asked(Idle), Action{Kind: Decline}, false, true},
		"the release on trial is left instead": {asked(Trial), Action{Kind: Condemn, Problem: rolledBack(testNow)}, false, true},
		"what is booted is known":              {asked(Idle), Action{Kind: Relent, Slot: "A"}, true, false},
		"a reboot":                             {asked(Trial), Action{Kind: Enter, BootID: "boot-2"}, true, true},
	} {
		if r := Step(c.r, c.a, nil); r.RollbackAsked != c.rollback || r.RetryAsked != c.retry {
			t.Errorf("%s: rollback asked %t, retry asked %t; expected %t, %t", name, r.RollbackAsked, r.RetryAsked, c.rollback, c.retry)
		}
	}
}
