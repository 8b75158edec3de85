/** Where the page's files are that others wrote; the build copies them. */
export const vendorFiles: ReadonlyMap<string, { readonly package: string; readonly file: string }> = new Map([
  ["react.js", { package: "react", file: "umd/react.production.min.js" }],
  ["react-dom.js", { package: "react-dom", file: "umd/react-dom.production.min.js" }],
  ["graphiql.js", { package: "graphiql", file: "graphiql.min.js" }],
  ["graphiql.css", { package: "graphiql", file: "graphiql.min.css" }],
]);
