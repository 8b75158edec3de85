/**
 * Takes the door to an object's prototype away that data can knock at: `object["__proto__"]`, with a name that a client sent, is then a property
 * like any other. What `node --disable-proto=delete` does, for those who start us without it. Literals and Object.setPrototypeOf are as before.
 *
 * Imported before everything else: libraries that look for it find at once that it is not there.
 */
Reflect.deleteProperty(Object.prototype, "__proto__");
